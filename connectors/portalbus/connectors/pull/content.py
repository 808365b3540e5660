"""When two readings of an item say the same: the digest of its content."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

ADDRESSES = frozenset({"canonical_url"})
"""Fields that say where an item stands, not what it says."""


def content_digest(data: Mapping[str, Any]) -> str:
    """The digest of what an item says, wherever it stands.

    Two spellings of the same text (Unicode forms, line ends, spaces) have the same digest: a page that is only
    formatted anew has not changed.
    """
    said = {name: _settled(value) for name, value in data.items() if name not in ADDRESSES}
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def _settled(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, Mapping):
        return {str(name): _settled(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settled(item) for item in value]
    return value
