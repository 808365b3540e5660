"""Digests of buckets: what a source states, and what the centre has, up to the same event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from portalbus.schemas.digest import EMPTY, event_digest, joined


class BucketName(NamedTuple):
    """What names a bucket: source, epoch, event type, day of publication in UTC."""

    agency: str
    portal: str
    epoch: int
    event_type: str
    day: date


@dataclass(frozen=True, slots=True)
class Stated:
    """What a source states about a bucket, up to its event `delivered_sequence`.

    `explained` is the difference (XOR) between both digests that was gone through event by event and remains.
    """

    count: int
    digest: bytes
    delivered_sequence: int
    explained: bytes | None = None


@dataclass(slots=True)
class Digests:
    """What the sources state beside what the centre has listed of the same buckets, each up to the same event.

    What people see is what is listed, but for the rows that were found to say something else (`note`).
    """

    stated: Mapping[BucketName, Stated]
    listed: Mapping[BucketName, bytes]
    _shown: dict[BucketName, bytes] = field(default_factory=dict)

    def note(
        self, bucket: BucketName, sequence: int, event_id: bytes, content_hash: bytes, shown: bytes | None
    ) -> None:
        """Notes an event whose row says something else; `shown` is the hash of what it says, None for no row."""
        stated = self.stated.get(bucket)
        if stated is None or sequence > stated.delivered_sequence:
            return
        digest = joined(self.shown(bucket), event_digest(event_id, content_hash))
        self._shown[bucket] = digest if shown is None else joined(digest, event_digest(event_id, shown))

    def shown(self, bucket: BucketName) -> bytes:
        """The digest of what people see."""
        return self._shown.get(bucket) or self.listed.get(bucket, EMPTY)

    def differing(self) -> set[BucketName]:
        """Buckets in which people do not see what the source states."""
        return {name for name, stated in self.stated.items() if self.shown(name) != stated.digest}

    def to_be_narrowed(self) -> dict[BucketName, bytes]:
        """Buckets whose list of events differs for a reason that is not known yet, with the difference."""
        found = {name: joined(stated.digest, self.listed.get(name, EMPTY)) for name, stated in self.stated.items()}
        return {
            name: difference
            for name, difference in found.items()
            if difference not in (EMPTY, self.stated[name].explained)
        }
