"""Does every record that went to a lane have exactly one verdict, the right one, and can its sender read it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message
from psycopg import Connection
from psycopg.rows import TupleRow

from portalbus.infra.demo.plan import Door, Plan, Step
from portalbus.infra.demo.sent import SentLog
from portalbus.schemas.avro_files import NAMESPACE
from portalbus.schemas.codec import HEADER_BYTES
from portalbus.schemas.models import VerdictStatus
from portalbus.schemas.topics import LANE_PREFIX

OPEN = (VerdictStatus.WAITING, VerdictStatus.PARKED)
"""Verdicts that another may follow: when its cause comes, or when somebody mends what is parked."""

CANARY = f"{NAMESPACE}.Canary"
"""What portals send to themselves every few minutes is no part of the day."""

Place = tuple[str, int]
"""Agency of the lane, and offset."""


@dataclass(frozen=True)
class LaneRecord:
    """A record found in a lane: where, and the event id that it carries beside its value."""

    place: Place
    event_id: str | None


def lane_records(messages: Iterable[Message], manifest_schema: int) -> Iterator[LaneRecord]:
    """The records of the lanes that are no manifests, nor canaries."""
    head = b"\x00" + manifest_schema.to_bytes(HEADER_BYTES - 1, "big")
    for message in messages:
        if not (message.value() or b"").startswith(head) and header(message, "ce_type") != CANARY:
            agency = (message.topic() or "").removeprefix(LANE_PREFIX)
            yield LaneRecord((agency, message.offset() or 0), header(message, "ce_id"))


def header(message: Message, name: str) -> str | None:
    """A header of a record as text."""
    headers: Any = message.headers() or []  # the client's own type leaves the pairs open
    found = (value for key, value in headers if key == name)
    value = next(found, None)
    return value.decode() if isinstance(value, bytes) else value


def match_steps(plan: Plan, log: SentLog, records: Iterable[LaneRecord]) -> tuple[dict[Place, Step], list[str]]:
    """Which step lies where in the lanes; every record that no step explains, and every step without its record."""
    problems: list[str] = []
    by_id: dict[tuple[str, str | None], Place] = {}
    places: set[Place] = set()
    for record in records:
        places.add(record.place)
        by_id.setdefault((record.place[0], record.event_id), record.place)  # a copy lies behind its original
    found: dict[Place, Step] = {}
    for step in plan.steps:
        sent = log.of(step.number)
        if sent is None:
            problems.append(f"step {step.number} of {step.agency} was never carried out")
        elif not step.sent:
            if sent.refused != step.rule:
                problems.append(f"step {step.number}: the SDK said {sent.refused or 'nothing'}, not {step.rule}")
        elif sent.refused is not None:
            problems.append(f"step {step.number}: the SDK refused an event that is right: {sent.refused}")
        else:
            place = (step.agency, sent.offset) if step.door is Door.KAFKA else by_id.get((step.agency, sent.event_id))
            if place is None or place not in places:
                problems.append(f"step {step.number}: {sent.event_id} is not in the lane of {step.agency}")
            elif place in found:
                problems.append(f"step {step.number} and step {found[place].number} share {place}")
            else:
                found[place] = step
    problems += [f"lane.{agency}@{offset}: nobody sent this record" for agency, offset in sorted(places - set(found))]
    return found, problems


EVENTS = """
    select agency, lane_offset, status, final, rule from ledger.event
    where position > %s and event_type is distinct from 'Canary'"""
JUDGEMENTS = "select agency, lane_offset, final, count(*) from ledger.judgement where position > %s group by 1, 2, 3"


def check_ledger(
    connection: Connection[TupleRow], steps: Mapping[Place, Step], since: int, starts: Mapping[str, int]
) -> list[str]:
    """One row in the ledger for each record, with the verdict of the plan, and one final judgement where it is final.

    Looks at judgements after the position `since` on records from the lane offsets `starts` on.
    """
    rows = {
        (agency, offset): (status, final, rule)
        for agency, offset, status, final, rule in connection.execute(EVENTS, (since,))
        if offset >= starts.get(agency, 0)
    }
    counts: dict[Place, Counter[bool]] = defaultdict(Counter)
    for agency, offset, final, count in connection.execute(JUDGEMENTS, (since,)):
        counts[agency, offset][final] = count
    problems = [
        f"lane.{agency}@{offset}: judged, but nobody sent it" for agency, offset in sorted(set(rows) - set(steps))
    ]
    for place, step in steps.items():
        problems += _check_row(place, step, rows.get(place), counts[place])
    return problems


def _check_row(place: Place, step: Step, row: tuple[str, bool, str] | None, judged: Counter[bool]) -> Iterator[str]:
    where = f"lane.{place[0]}@{place[1]} (step {step.number}, {step.fault or 'honest'})"
    if row is None:
        yield f"{where}: has no verdict"
        return
    status, final, rule = row
    if (status, rule) != (step.status, step.rule):
        yield f"{where}: {status} {rule}, not {step.status} {step.rule}"
    should_be_final = step.status not in OPEN
    if final is not should_be_final or judged[True] != int(should_be_final):
        yield f"{where}: {judged[True]} final verdicts, not {int(should_be_final)}"
    if judged[False] > 1:
        yield f"{where}: {judged[False]} verdicts that are not final"


def check_verdict_topics(verdicts: Iterable[tuple[Place, bool, str]], steps: Mapping[Place, Step]) -> list[str]:
    """Each sender finds exactly one final verdict (or the open one) on each of its records in its verdict topic."""
    finals: dict[Place, list[str]] = defaultdict(list)
    opens: dict[Place, list[str]] = defaultdict(list)
    for place, final, rule in verdicts:
        (finals if final else opens)[place].append(rule)
    problems = []
    for place, step in steps.items():
        found = (opens if step.status in OPEN else finals)[place]
        if found != [step.rule]:
            problems.append(
                f"verdict.{place[0]}: lane offset {place[1]} has {found or 'no verdict'}, not {[step.rule]}"
            )
    strangers = sorted((set(finals) | set(opens)) - set(steps))
    return problems + [f"verdict.{agency}: lane offset {offset} was never sent" for agency, offset in strangers]


def check_canonical(ids: Iterable[str | None], steps: Mapping[Place, Step], log: SentLog) -> list[str]:
    """Each accepted event is in the canonical topics exactly once, and nothing else is."""
    found = Counter(ids)
    accepted = {
        sent.event_id
        for step in steps.values()
        if step.status is VerdictStatus.ACCEPTED and (sent := log.of(step.number)) is not None
    }
    problems = [
        f"{event_id}: {found[event_id]} times in the canonical topics"
        for event_id in sorted(accepted, key=str)
        if found[event_id] != 1
    ]
    return problems + [
        f"{event_id}: in the canonical topics, but not accepted" for event_id in sorted(set(found) - accepted, key=str)
    ]
