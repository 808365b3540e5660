"""What a batch brings for the reconciliation: what sources state of themselves, and events they sent again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from portalbus.schemas.models import (
    PAYLOADS,
    BucketContents,
    DirectivePublished,
    Event,
    FeedbackProgressed,
    SourceManifest,
)


@dataclass(slots=True)
class Reconciling:
    """`wanted` are the content hashes of events that were asked for again, by agency and event id; `taken` the places
    of other accepted events of their keys: key, event type, and version (0 where there are none). `unheard` are those
    that have never come, because a parked record that is another one took their place.
    """

    wanted: dict[tuple[str, str], bytes] = field(default_factory=dict)
    taken: set[tuple[str, str, int]] = field(default_factory=set)
    unheard: set[tuple[str, str]] = field(default_factory=set)
    manifests: list[tuple[SourceManifest, datetime]] = field(default_factory=list)
    contents: list[tuple[BucketContents, datetime]] = field(default_factory=list)
    resent: list[tuple[str, str, bytes]] = field(default_factory=list)

    def hear_manifest(self, manifest: SourceManifest, lane_agency: str, received_at: datetime) -> None:
        """Keeps what a manifest states of its buckets, unless it claims another agency than its lane's."""
        if manifest.agency == lane_agency and manifest.buckets:
            self.manifests.append((manifest, received_at))

    def hear_contents(self, contents: BucketContents, lane_agency: str, received_at: datetime) -> None:
        """Keeps what a source says lies in a bucket, when there is such an event type: that is a text of its own."""
        if contents.agency == lane_agency and contents.event_type in PAYLOADS:
            self.contents.append((contents, received_at))

    def is_wanted(self, agency: str, event_id: str, content_hash: bytes) -> bool:
        """True for an event that its source was asked to send again."""
        return bool(self.wanted) and self.wanted.get((agency, event_id)) == content_hash

    def note_resent(self, agency: str, event_id: str, content_hash: bytes, value: bytes | None) -> None:
        """Keeps the bytes of an event that was asked for again."""
        if value is not None and self.is_wanted(agency, event_id, content_hash):
            self.resent.append((agency, event_id, value))

    def place_is_free(self, event: Event) -> bool:
        """True when no other accepted event stands where this one stood."""
        payload = event.payload
        if isinstance(payload, FeedbackProgressed):
            return True  # a case has many steps, none in the place of another
        version = payload.version if isinstance(payload, DirectivePublished) else 0
        return (event.key, payload.event_type, version) not in self.taken
