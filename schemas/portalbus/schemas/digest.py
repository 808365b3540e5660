"""The digest of a set of events, the same in any order: XOR over SHA-256(event id + content hash)."""

from __future__ import annotations

import hashlib

EMPTY = bytes(32)


def event_digest(event_id: bytes, content_hash: bytes) -> bytes:
    """The 32 bytes that one event adds: `event_id` is the 16 bytes of its UUID, `content_hash` 32 bytes."""
    return hashlib.sha256(event_id + content_hash).digest()


def joined(one: bytes, other: bytes) -> bytes:
    """The digest of two sets together (of their difference, when one holds the other)."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(32, "big")
