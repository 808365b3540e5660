"""Mutated payloads through the real decoder and judge: each gets a verdict or is parked, in bounded time and memory.

Test 11 of the design. `mutating.py` breaks what is valid, where its structure is; `mutated_payloads.py` is the program
that reads and judges it, and the way to see one group again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

import mutated_payloads
from bus_events import NOON, writers
from ledger_facts import assert_sound
from memory_ledger import MemoryLedger, directory
from mutated_payloads import GROUP, Broken, Tally, group_of, judge_group
from mutating import AGENCIES, Sample, one_part_another
from portalbus.schemas.avro_files import CENTRE_TYPES
from portalbus.schemas.topics import lane_of
from portalbus.streams.decoding.contents import content_of
from portalbus.streams.judgement.docket import Content, Item
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.parking_limit import ParkingLimit
from portalbus.streams.reading.proof import prove_verdicts
from portalbus.streams.records import LaneRecord
from portalbus.streams.relaying.outgoing import messages_of, next_outgoing
from seeds import fresh_seed

PROGRAM = Path(__file__).parent / "mutated_payloads.py"
GROWTH = 50 * 2**20
CENTRE = dict.fromkeys(CENTRE_TYPES, 1)
REACHED = {
    "event.accepted",
    "event.canary",
    "event.id-reused",
    "key.parked-before",
    "lane.agency-mismatch",
    "record.empty",
    "record.key-mismatch",
    "record.not-avro",
    "record.schema-not-allowed",
    "record.shape",
    "record.too-large",
    "record.trailing-bytes",
    "record.undecodable",
    "schema.format",
    "schema.value",
    "source.waits-for-gap",
    "text.control-character",
    "time.implausible",
}
"""Decisions without which the mutations would prove little."""


def start(first: int, records: int, **environment: str) -> subprocess.Popen[str]:
    """The program on these groups; its figures come on standard output."""
    command = [sys.executable, str(PROGRAM), "--first", str(first), "--records", str(records)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def figures(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """What the program found; fails with its words when a record had an outcome that none may have."""
    try:
        out, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, f"ended with {process.returncode}: {errors[-4_000:]}"
    found: dict[str, Any] = json.loads(out)
    assert found["growth_bytes"] < GROWTH
    return found


def told(records: int, found: list[dict[str, Any]]) -> str:
    """The figures of one or more processes in a line."""
    rules: Counter[str] = Counter()
    for one in found:
        rules.update(one["outcomes"])
    return (
        f"\n{records:,} mutated records from groups {', '.join(str(one['first']) for one in found)} on: 0 uncaught,"
        f" slowest {max(one['slowest_s'] for one in found) * 1000:.0f} ms of CPU, memory grew by"
        f" {max(one['growth_bytes'] for one in found) / 2**20:.0f} MiB; {len(rules)} rules, of these"
        f" {', '.join(f'{rule} {count}' for rule, count in rules.most_common(5))};"
        f" {sum(one['respelt'] for one in found)} events read from bytes that no encoder of ours writes"
    )


def test_20_000_mutated_records_are_each_judged_or_parked_under_a_rule() -> None:
    found = figures(start(fresh_seed("groups of mutated records from"), 20_000), 120)
    assert found["records"] >= 20_000
    assert set(found["outcomes"]) >= REACHED
    print(told(20_000, [found]))


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_a_million_mutated_records_are_each_judged_or_parked_under_a_rule() -> None:
    first, cores = fresh_seed("groups of mutated records from"), os.cpu_count() or 1
    started = [start(first + number * 10**6, 1_000_000 // cores + 1) for number in range(cores)]
    found = [figures(process, 1_500) for process in started]
    assert sum(one["records"] for one in found) >= 1_000_000
    print(told(1_000_000, found))


def test_a_group_is_the_same_again_in_another_process() -> None:
    same = [figures(start(4711, 200, PYTHONHASHSEED=hashes), 60)["outcomes"] for hashes in ("1", "2")]
    assert same[0] == same[1]


def test_what_a_reader_or_judge_lets_through_is_noticed_and_can_be_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(value: bytes | None, _: object) -> Content:
        raise IndexError("from the depths of a decoder")

    with monkeypatch.context() as patched:
        patched.setattr(mutated_payloads, "content_of", careless)
        with pytest.raises(Broken, match=r"(?s)group 7, record 0 .*IndexError: from the depths.*--seed 7 --trace"):
            judge_group(7, Tally())
    monkeypatch.setattr(MemoryLedger, "take", lambda *_: [])
    with pytest.raises(Broken, match="it has no verdict"):
        judge_group(7, Tally())


def test_a_ledger_on_postgresql_takes_any_text_and_number_anywhere_in_any_record(ledger_url: str) -> None:
    """One by one, so that nothing else in a record keeps it from being judged: also what a source states of itself."""
    ledger = Ledger(ledger_url, writers(), directory(), parking_limit=ParkingLimit(share=1))
    offsets, kinds = Counter[str](), Counter[str]()
    ledger.open_lanes(AGENCIES)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        offsets.update(dict(connection.execute("select agency, next_offset from ledger.lane").fetchall()))
        try:
            for sample in one_part_another():
                item = item_of(sample, offsets[sample.agency])
                offsets[sample.agency] += 1
                kinds[type(item.content).__name__] += 1
                try:
                    ledger.take_in([item])
                except Exception as error:
                    pytest.fail(f"{item.record}, {sample.value.hex()[:4_000]}: {error!r}")
        finally:
            ledger.close()
        assert min(kinds[kind] for kind in ("BucketContents", "SourceManifest", "Decoded", "Misshapen")) > 30
        assert prove_verdicts(connection).problems == ()
        assert all(
            message.value for said in next_outgoing(connection, 0, 100_000) for message in messages_of(said, CENTRE)
        )


def item_of(sample: Sample, offset: int) -> Item:
    """A sample as the worker reads it."""
    now = round(NOON.timestamp() * 1000) + offset
    record = LaneRecord(lane_of(sample.agency), sample.agency, offset, now, sample.key, sample.value, sample.headers)
    return Item(record, content_of(sample.value, writers()))


def test_a_ledger_on_postgresql_takes_whatever_was_mutated_and_every_record_has_its_verdict(ledger_url: str) -> None:
    """The database has bounds of its own: numbers, times and characters that Python has and PostgreSQL has not."""
    seed, offsets = fresh_seed("groups of mutated records from"), Counter[str]()
    ledger = Ledger(ledger_url, writers(), directory(), parking_limit=ParkingLimit(share=1))
    taken = 0
    try:
        for number in range(seed, seed + 60):
            records = []
            for record in group_of(number):
                records.append(record._replace(offset=offsets[record.agency]))
                offsets[record.agency] += 1
            ledger.open_lanes(offsets)
            items = [Item(record, content_of(record.value, writers())) for record in records]
            try:
                ledger.take_in(items)
            except Exception as error:
                pytest.fail(f"group {number} (python {PROGRAM} --seed {number} --trace): {error!r}")
            taken += len(records)
    finally:
        ledger.close()
    assert taken > GROUP
    with psycopg.connect(ledger_url) as connection:
        proof = prove_verdicts(connection)
        assert proof.problems == ()
        assert_sound(connection)
