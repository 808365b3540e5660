"""Rules about the source: may it speak, and does the event stand where it should in the source's order."""

from __future__ import annotations

from datetime import datetime

from portalbus.schemas.models import Envelope, SourceManifest
from portalbus.streams.judgement.decision import Decision, rejected
from portalbus.streams.judgement.history import History, SourceState


def judge_source(envelope: Envelope, lane_agency: str, history: History) -> Decision | None:
    """A refusal when this lane may not carry what this envelope claims, or its source is blocked."""
    if envelope.agency != lane_agency:
        return rejected("lane.agency-mismatch", "/envelope/agency", agency=envelope.agency, lane=lane_agency)
    source = history.sources.get((lane_agency, envelope.portal))
    if source is not None and source.status == "blocked":
        return rejected("source.blocked", "/envelope/portal")
    return None


def judge_sequence(envelope: Envelope, source: SourceState) -> Decision | None:
    """A refusal when the sequence belongs to another event already: it is neither next, nor beyond, nor in a gap."""
    if envelope.epoch > source.epoch:
        return None
    if envelope.epoch == source.epoch and envelope.sequence > source.last_sequence:
        return None
    if gap_holding(envelope, source) is not None:
        return None
    return rejected("source.sequence-reused", "/envelope/sequence", sequence=envelope.sequence)


def take_sequence(envelope: Envelope, source: SourceState, received_at: datetime) -> None:
    """Folds a sequence into its source: the next moves it on, one beyond opens a gap, one in a gap closes its place."""
    if envelope.epoch > source.epoch:
        source.epoch, source.last_sequence = envelope.epoch, 0
    if envelope.epoch == source.epoch and envelope.sequence > source.last_sequence:
        if envelope.sequence > source.last_sequence + 1:
            source.gaps[source.epoch, source.last_sequence + 1] = (envelope.sequence - 1, received_at)
            source.gaps_changed = True
        source.last_sequence = envelope.sequence
        return
    first = gap_holding(envelope, source)
    if first is not None:
        _close_place(envelope, source, first)


def hear(envelope: Envelope, received_at: datetime, history: History) -> SourceState:
    """The source of an event, with the time it was heard; a new one is made when it speaks for the first time."""
    source = history.sources.get((envelope.agency, envelope.portal))
    if source is None:
        source = SourceState(envelope.agency, envelope.portal, received_at, received_at, epoch=envelope.epoch)
        history.sources[envelope.agency, envelope.portal] = source
    source.last_heard_at = received_at
    source.newest = (envelope, received_at)
    return source


def hear_manifest(manifest: SourceManifest, lane_agency: str, received_at: datetime, history: History) -> None:
    """Folds a manifest into its source; one that claims another agency than its lane's is not believed."""
    if manifest.agency != lane_agency:
        return
    source = history.sources.get((manifest.agency, manifest.portal))
    if source is None:
        source = SourceState(manifest.agency, manifest.portal, received_at, received_at, epoch=manifest.epoch)
        history.sources[manifest.agency, manifest.portal] = source
    source.last_heard_at = received_at
    source.manifest = manifest


def gap_holding(envelope: Envelope, source: SourceState) -> int | None:
    """First sequence of the gap that holds this event's sequence; None when no gap does."""
    for (epoch, first), (last, _) in source.gaps.items():
        if epoch == envelope.epoch and first <= envelope.sequence <= last:
            return first
    return None


def _close_place(envelope: Envelope, source: SourceState, first: int) -> None:
    last, opened_at = source.gaps.pop((envelope.epoch, first))
    if first < envelope.sequence:
        source.gaps[envelope.epoch, first] = (envelope.sequence - 1, opened_at)
    if envelope.sequence < last:
        source.gaps[envelope.epoch, envelope.sequence + 1] = (last, opened_at)
    source.gaps_changed = True
