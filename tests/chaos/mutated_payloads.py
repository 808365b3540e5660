"""Mutated records through the real decoder and judge, group by group, each from a seed of its own.

    python tests/chaos/mutated_payloads.py --first 1 --groups 1000
    python tests/chaos/mutated_payloads.py --seed 4711 --trace     # one group again, record by record

What it insists on: every record is a heartbeat, or is judged or parked under a rule of the catalogue, and its verdict
can be worded and encoded; nothing is raised, nothing takes a second, memory does not grow.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

if __name__ == "__main__":
    TESTS = Path(__file__).parents[1]
    sys.path[:0] = [str(TESTS / "chaos"), str(TESTS / "support")]

from bus_events import NOON, writers
from memory_ledger import MemoryLedger
from mutating import mutated_record
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.codec import Decoded, Misshapen, encode_event
from portalbus.schemas.models import BucketContents, SourceManifest
from portalbus.streams.decoding.contents import content_of
from portalbus.streams.judgement.docket import Content, Entry, Item
from portalbus.streams.records import LaneRecord
from portalbus.streams.relaying.outgoing import Judged, messages_of

GROUP = 50
"""Records of a group, at most: small, so that few events meet their own id again."""

SLOW_SECONDS = 1.0
MEMORY_ROOM = 2**30
"""What the program may need beside what it has at the start, in bytes of address space."""

SCHEMAS = {"Verdict": 1}
PAGE = resource.getpagesize()


class Broken(AssertionError):
    """A record had an outcome that none may have; says which, and how to see it again."""


@dataclass
class Tally:
    """What became of the records. `respelt` counts events that were read, but not from the bytes our encoder writes."""

    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    respelt: int = 0
    slowest: float = 0.0
    slowest_at: tuple[int, int] = (0, 0)
    memory_before: int = 0
    memory_after: int = 0

    @property
    def growth(self) -> int:
        """How many bytes of memory came with the records, after the first tenth."""
        return max(self.memory_after - self.memory_before, 0)

    def as_json(self) -> dict[str, object]:
        """For the process that started this one."""
        return {
            "records": self.records,
            "outcomes": dict(self.outcomes.most_common()),
            "respelt": self.respelt,
            "slowest_s": round(self.slowest, 4),
            "slowest_at": list(self.slowest_at),
            "growth_bytes": self.growth,
        }


def group_of(seed: int) -> list[LaneRecord]:
    """The records of one group, one lane after the other's record as they come, each lane without a hole."""
    random = Random(seed)
    offsets: Counter[str] = Counter()
    found: list[LaneRecord] = []
    now = NOON
    for _ in range(random.randint(1, GROUP)):
        now += timedelta(seconds=random.choice((0.001, 0.001, 0.2, 30.0)))
        record = mutated_record(random, 0, round(now.timestamp() * 1000))
        found.append(record._replace(offset=offsets[record.agency]))
        offsets[record.agency] += 1
    return found


def judge_group(seed: int, tally: Tally, trace: bool = False) -> None:
    """Reads and judges one group on an empty ledger. Raises Broken."""
    ledger = MemoryLedger()
    random = Random(seed)
    records = group_of(seed)
    place = 0
    while place < len(records):
        batch = records[place : place + random.choice((1, 3, GROUP))]
        items = [_read(seed, place + number, record, tally) for number, record in enumerate(batch)]
        before = time.thread_time()
        try:
            entries = ledger.take(*items)
        except Exception as error:
            raise Broken(_again(seed, place, batch[0], f"judging raised {_lines(error)}")) from error
        _note_time(tally, (time.thread_time() - before) / len(batch), (seed, place))
        for entry in entries:
            _check_verdict(seed, entry)
            tally.outcomes[entry.decision.rule] += 1
        _check_all_judged(seed, place, items, entries)
        if trace:
            _print(place, items, entries)
        place += len(batch)
        tally.records += len(batch)


def _read(seed: int, number: int, record: LaneRecord, tally: Tally) -> Item:
    before = time.thread_time()
    try:
        content = content_of(record.value, writers())
    except BaseException as error:
        raise Broken(_again(seed, number, record, f"reading raised {_lines(error)}")) from error
    _note_time(tally, time.thread_time() - before, (seed, number))
    if isinstance(content, Decoded) and record.value is not None:
        tally.respelt += encode_event(content.event, int.from_bytes(record.value[1:5])) != record.value
    return Item(record, content)


def _note_time(tally: Tally, seconds: float, where: tuple[int, int]) -> None:
    if seconds > tally.slowest:
        tally.slowest, tally.slowest_at = seconds, where


def _check_all_judged(seed: int, place: int, items: list[Item], entries: list[Entry]) -> None:
    judged = {(entry.agency, entry.lane_offset) for entry in entries if entry.fresh}
    for number, (record, content) in enumerate(items, place):
        if ((record.agency, record.offset) in judged) == _states_of_itself(record, content):
            raise Broken(_again(seed, number, record, "it has no verdict, or a statement has one"))


def _states_of_itself(record: LaneRecord, content: Content) -> bool:
    return isinstance(content, SourceManifest | BucketContents) and content.agency == record.agency


def _check_verdict(seed: int, entry: Entry) -> None:
    """The verdict is one of the catalogue's, and can be sent to the portal."""
    decision, head = entry.decision, entry.envelope
    if decision.rule not in catalogue():
        raise Broken(f"group {seed}: {decision.rule} is no rule of the catalogue")
    judged = Judged(
        entry.position,
        entry.agency,
        entry.lane_offset,
        head.id if head else entry.claim.event_id if entry.claim else None,
        entry.event_type,
        head.portal if head else None,
        head.epoch if head else None,
        head.sequence if head else None,
        entry.key,
        decision.status.value,
        decision.final,
        decision.rule,
        decision.path,
        dict(decision.params),
        entry.received_at,
        None,
        head.occurred_at if head else None,
    )
    try:
        for message in messages_of(judged, SCHEMAS):
            if not message.value:
                raise ValueError("an empty verdict")
    except Exception as error:
        place = f"{entry.agency}@{entry.lane_offset}"
        raise Broken(f"group {seed}, {place}: the verdict {decision.rule} raised {_lines(error)}") from error


def _again(seed: int, number: int, record: LaneRecord, what: str) -> str:
    value = record.value or b""
    return (
        f"group {seed}, record {number} ({record.lane}@{record.offset}, {len(value)} bytes): {what}\n"
        f"value: {value[:2_000].hex()}\nagain: python {__file__} --seed {seed} --trace"
    )


def _lines(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-4:])


def _print(place: int, items: list[Item], entries: list[Entry]) -> None:
    for number, (record, content) in enumerate(items, place):
        print(f"{number}: {record} {type(content).__name__} {_why(content)}")
    for entry in entries:
        print(f"  {entry.agency}@{entry.lane_offset} {entry.decision.status} [{entry.decision.rule}]")


def _why(content: Content) -> str:
    if isinstance(content, Misshapen):
        return ", ".join(f"{finding.rule} {finding.path}" for finding in content.findings[:5])
    return getattr(content, "rule", "") if not isinstance(content, (Decoded, SourceManifest)) else ""


def judge_groups(first: int, records: int, seconds: float) -> Tally:
    """Groups from `first` on, until there are so many records. Raises Broken; also when one takes `seconds`."""
    tally = Tally()
    for seed in _seeds(first):
        judge_group(seed, tally)
        if tally.slowest > seconds:
            raise Broken(f"record {tally.slowest_at} took {tally.slowest:.2f} s")
        if tally.memory_before == 0 and tally.records * 10 >= records:
            tally.memory_before = resident()
        if tally.records >= records:
            break
    tally.memory_after = resident()
    return tally


def _seeds(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def resident() -> int:
    """The memory this process has now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _bound_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_ROOM, used + MEMORY_ROOM))


def main(arguments: list[str] | None = None) -> int:
    """One group again with `--seed`, else so many `--records` from `--first` on, with the figures as JSON."""
    parser = argparse.ArgumentParser(description="Mutated records through decoder and judge.")
    parser.add_argument("--seed", type=int, help="this group again")
    parser.add_argument("--trace", action="store_true", help="print what became of each record")
    parser.add_argument("--first", type=int, default=int.from_bytes(os.urandom(4)), help="the first group")
    parser.add_argument("--records", type=int, default=20_000)
    asked = parser.parse_args(arguments)
    _bound_memory()
    try:
        if asked.seed is not None:
            judge_group(asked.seed, tally := Tally(), asked.trace)
        else:
            tally = judge_groups(asked.first, asked.records, SLOW_SECONDS)
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    print(json.dumps({"first": asked.first, **tally.as_json()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
