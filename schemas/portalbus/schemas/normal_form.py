"""NFC: the one normal form of text on the bus.

The SDK and the gateway put text into it; the processor insists on it.
"""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

from pydantic import BaseModel

from portalbus.schemas.rules import texts_of

T = TypeVar("T", bound=BaseModel)


def normalise(record: T) -> T:
    """The same record with every text in NFC; the record itself when it already is."""
    if all(text.isascii() or unicodedata.is_normalized("NFC", text) for _, text in texts_of(record)):
        return record
    return type(record).model_validate(_nfc(record.model_dump()))


def _nfc(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {key: _nfc(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_nfc(item) for item in value)
    return value
