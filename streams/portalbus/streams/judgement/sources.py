"""Rules about the source: may it speak, and does the event stand where it should in the source's order."""

from __future__ import annotations

from datetime import datetime, timedelta

from portalbus.schemas.models import Envelope, SourceManifest, SourceStatement
from portalbus.streams.judgement.clocks import lead_ms, remember
from portalbus.streams.judgement.decision import Decision, rejected
from portalbus.streams.judgement.gaps import Gap, Place, begin_epoch, fill_place, gap_holding, note_gone, open_gap
from portalbus.streams.judgement.history import History, SourceState
from portalbus.streams.judgement.parked import ParkedRecord

NO_HOLD = timedelta(0)


def judge_source(envelope: Envelope, lane_agency: str, history: History) -> Decision | None:
    """A refusal when this lane may not carry what this envelope claims, or its source is blocked."""
    if envelope.agency != lane_agency:
        return _mismatch("/envelope/agency", envelope.agency, lane_agency)
    source = history.sources.get((lane_agency, envelope.portal))
    if source is not None and source.status == "blocked":
        return rejected("source.blocked", "/envelope/portal")
    return None


def judge_statement(statement: SourceStatement, lane_agency: str) -> Decision | None:
    """A refusal when a source states something of itself on the lane of another agency."""
    return None if statement.agency == lane_agency else _mismatch("/agency", statement.agency, lane_agency)


def _mismatch(path: str, agency: str, lane_agency: str) -> Decision:
    return rejected("lane.agency-mismatch", path, agency=agency, lane=lane_agency)


def judge_sequence(envelope: Envelope, source: SourceState) -> Decision | None:
    """A refusal when the sequence belongs to another event already: it is neither next, nor beyond, nor in a gap."""
    if envelope.epoch > source.epoch:
        return None
    if envelope.epoch == source.epoch and envelope.sequence > source.last_sequence:
        return None
    if gap_holding(envelope, source) is not None or (envelope.epoch, envelope.sequence) in source.set_aside:
        return None
    return rejected("source.sequence-reused", "/envelope/sequence", sequence=envelope.sequence)


def take_sequence(
    envelope: Envelope | Place, source: SourceState, received_at: datetime, hold: timedelta = NO_HOLD
) -> Gap | None:
    """Folds a sequence into its source: the next moves it on, one beyond opens a gap, one in a gap fills its place.

    Returns the gap that it opened, for which the source is to be asked.
    """
    if source.set_aside and (place := Place(envelope.epoch, envelope.sequence)) in source.set_aside:
        source.set_aside.remove(place)
        source.refilled.add(place)
    if envelope.epoch > source.epoch:
        begin_epoch(source, envelope.epoch)
    if envelope.epoch == source.epoch and envelope.sequence > source.last_sequence:
        beyond = envelope.sequence > source.last_sequence + 1
        opened = open_gap(source, envelope.sequence - 1, received_at, hold) if beyond else None
        source.last_sequence = envelope.sequence
        return opened
    gap = gap_holding(envelope, source)
    if gap is not None:
        fill_place(source, gap, envelope.sequence)
    return None


def set_aside(parked: ParkedRecord, received_at: datetime, history: History) -> SourceState | None:
    """Uses up the place of a parked record, so that nobody asks for it or waits for it.

    Its headers are believed only where it stands exactly where the next event of that source has to stand (the first
    one, for a source that nobody has heard of), or in a gap. Returns the source whose place it is.
    """
    claim = parked.claim
    if claim.portal is None or claim.sequence is None:
        return None
    source = history.sources.get((parked.agency, claim.portal))
    if source is None and claim.sequence == 1:
        source = SourceState(parked.agency, claim.portal, received_at, received_at)
        history.sources[source.name] = source
    if source is None or source.status == "blocked":
        return None
    place = Place(source.epoch, claim.sequence)
    if claim.sequence != source.last_sequence + 1 and gap_holding(place, source) is None:
        return None
    take_sequence(place, source, received_at)
    source.set_aside.add(place)
    parked.place = place
    return source


def hear(envelope: Envelope, received_at: datetime, history: History) -> SourceState:
    """The source of an event, with the time it was heard; a new one is made when it speaks for the first time."""
    source = history.sources.get((envelope.agency, envelope.portal))
    if source is None:
        source = SourceState(envelope.agency, envelope.portal, received_at, received_at, epoch=envelope.epoch)
        history.sources[envelope.agency, envelope.portal] = source
    source.last_heard_at = received_at
    source.newest = (envelope, received_at)
    return source


def hear_manifest(
    manifest: SourceManifest, lane_agency: str, received_at: datetime, history: History, hold: timedelta = NO_HOLD
) -> Gap | None:
    """Folds a manifest into its source; one that claims another agency than its lane's is not believed.

    What it says was delivered stands before it in the lane, so what is not there is missing. Returns the gap that this
    opened, for which the source is to be asked.
    """
    if manifest.agency != lane_agency:
        return None
    source = history.sources.get((manifest.agency, manifest.portal))
    if source is None:
        source = SourceState(manifest.agency, manifest.portal, received_at, received_at, epoch=manifest.epoch)
        history.sources[manifest.agency, manifest.portal] = source
    source.last_heard_at = received_at
    source.manifest = manifest
    source.clock_leads = remember(source.clock_leads, lead_ms(manifest.sent_at, received_at))
    if source.status == "blocked" or manifest.epoch < source.epoch:
        return None
    if manifest.epoch > source.epoch:
        begin_epoch(source, manifest.epoch)
    opened = None
    if manifest.delivered_sequence > source.last_sequence:
        opened = open_gap(source, manifest.delivered_sequence, received_at, hold)
        source.last_sequence = manifest.delivered_sequence
    note_gone(source, manifest)
    return opened
