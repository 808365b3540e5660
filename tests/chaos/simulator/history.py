"""A simulation as a history, for the checker that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from history_report import Line
from portalbus.schemas.codec import Decoded
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.topics import RELAY_POSITION
from portalbus.streams.judgement.docket import Entry
from portalbus.streams.records import LaneRecord
from simulator.broker import words
from simulator.reading import read_once
from simulator.store import Store

if TYPE_CHECKING:
    from simulator.parts import Parts as World


def history_of(world: World) -> Iterator[Line]:
    """Every line of it."""
    for said in world.story.said.values():
        yield {"saw": "attempted", "id": said.event_id, "source": said.source}
        if said.promised and said.event_id not in world.excused_lost:
            epoch, sequence = said.promised
            yield {
                "saw": "acknowledged",
                "id": said.event_id,
                "source": said.source,
                "epoch": epoch,
                "sequence": sequence,
            }
    for log in world.broker.lanes.values():
        for record in log:
            yield from _laid(record)
    yield from _ledger(world.store)
    yield from _topics(world)


def _laid(record: LaneRecord) -> Iterator[Line]:
    line = {"saw": "laid", "lane": record.lane, "offset": record.offset, "hash": words(record.value)}
    content = _content(record.value or b"")
    if content is None:
        yield {**line, "id": None, "source": None, "epoch": 0, "sequence": 0}
    elif isinstance(content, Decoded):  # manifests and canaries are no events
        head = content.event.envelope
        source = f"{head.agency}/{head.portal}"
        yield {**line, "id": head.id, "source": source, "epoch": head.epoch, "sequence": head.sequence}


def _content(value: bytes) -> object:
    try:
        return read_once(value)
    except UndecodableRecord:
        return None


def _ledger(store: Store) -> Iterator[Line]:
    for position, (what, _) in enumerate(store.order, 1):
        yield _judged(what) if isinstance(what, Entry) else {"saw": "noticed", "position": position}
    for agency, portal, epoch, first, last in store.gaps_seen:
        yield {"saw": "gap", "source": f"{agency}/{portal}", "epoch": epoch, "first": first, "last": last}
    for (key, _), version in store.versions.items():
        kind = {"type": "DirectivePublished", "key": key}
        yield {"saw": "effect", **kind, "position": version.position, "id": version.event_id}
    for case_id, case in store.cases.items():
        yield {"saw": "effect", "type": "FeedbackReceived", "key": case_id, "position": case.position}


def _judged(entry: Entry) -> Line:
    head, decision = entry.envelope, entry.decision
    return {
        "saw": "judged",
        "lane": f"lane.{entry.agency}",
        "offset": entry.lane_offset,
        "position": entry.position,
        "status": decision.status.value,
        "final": decision.final,
        "rule": decision.rule,
        "id": head.id if head else None,
        "type": entry.event_type,
        "key": entry.key,
        "source": f"{entry.agency}/{head.portal}" if head else None,
        "epoch": head.epoch if head else 0,
        "sequence": head.sequence if head else 0,
    }


def _topics(world: World) -> Iterator[Line]:
    notices = {at for at, (what, _) in enumerate(world.store.order, 1) if not isinstance(what, Entry)}
    for (topic, partition), log in world.broker.topics.items():
        if topic == RELAY_POSITION:
            continue
        for offset, message in enumerate(log):
            position = int(message.headers["portalbus-position"])
            line = {"topic": topic, "partition": partition, "offset": offset, "position": position}
            if topic.startswith("central.") and position not in notices:
                event_id = message.headers["ce_id"].decode()
                yield {"saw": "canonical", **line, "id": event_id, "hash": words(message.value)}
            elif position not in notices:
                yield {"saw": "verdict", **line}
