"""Names that follow from other names, so that the same item gets the same one in every run on every machine."""

from __future__ import annotations

import uuid
from hashlib import sha256

EVENT_IDS = uuid.UUID("5f0c2b7e-3a54-5d0e-9a53-6c1f1f1c7a10")
"""The namespace of the connectors' event ids (RFC 9562, version 5)."""
DIGITS = 20


def item_key(entry: str, item_id: str) -> str:
    """A short name of an item: 80 bits of a digest of where it was found and its id there."""
    return sha256(f"{entry}\n{item_id}".encode()).hexdigest()[:DIGITS]


def directive_id(portal: str, entry: str, item_id: str) -> str:
    """The directive id of an item, such as `www-3f6c1a…`."""
    return f"{portal}-{item_key(entry, item_id)}"


def later_life(key: str, life: int) -> str:
    """The directive id of an item that came back after a withdrawal: `www-3f6c1a…~2`."""
    return f"{key.partition('~')[0]}~{life}"


def case_id(agency: str, portal: str, entry: str, item_id: str) -> str:
    """The case id of a feedback found in a source, such as `H26-www-3f6c1a…`; dots become dashes."""
    return f"{agency}-{portal.replace('.', '-').replace('_', '-')[:40]}-{item_key(entry, item_id)}"


def event_id(source: str, key: str, version: int, content: str) -> str:
    """The id of the event that says: this source's item `key` has this content (a digest) as its version."""
    return str(uuid.uuid5(EVENT_IDS, f"{source}\n{key}\n{version}\n{content}"))
