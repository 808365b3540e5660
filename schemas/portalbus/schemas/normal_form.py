"""The one normal form of text on the bus: Unicode NFC, and lines that end with a newline alone.

The SDK and the gateway put text into it; the processor insists on it.
"""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

from pydantic import BaseModel

from portalbus.schemas.rules import plain_texts

T = TypeVar("T", bound=BaseModel)


def normalise(record: T) -> T:
    """The same record with every text in normal form; the record itself when it already is."""
    # One look at all texts together; a newline between them composes with nothing.
    together = "\n".join(plain_texts(record))
    if "\r" not in together and unicodedata.is_normalized("NFC", together):
        return record
    return type(record).model_validate(_normal(record.model_dump()))


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        # Web forms send CR LF (HTML standard, form submission); a lone CR is an old Macintosh's newline.
        return unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_normal(item) for item in value)
    return value
