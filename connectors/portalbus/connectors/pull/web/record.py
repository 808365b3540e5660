"""Texts of one record whose letters were taken for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portalbus.connectors.pull import vietnamese_encodings as vietnamese
from portalbus.connectors.pull.web.encodings import surely_masked

TEXTS = ("title", "abstract", "body")


def unmasked(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its texts in Unicode, when they surely are TCVN3 that was taken for Latin-1.

    A page may be right while what an editor pasted into it is not, so each record is looked at by itself.
    """
    texts = {name: record[name] for name in TEXTS if isinstance(record.get(name), str)}
    if not surely_masked("\n".join(texts.values())):
        return dict(record)
    return {**record, **{name: vietnamese.unmasked(text) for name, text in texts.items()}}
