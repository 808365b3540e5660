"""The decoder's process: the same contents as here, and whatever kills it costs one record at most."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bus_events import (
    SCHEMA_IDS,
    directive,
    envelope,
    manifest,
    manifest_value,
    misshapen_value,
    receipt,
    value_of,
    writers,
)
from portalbus.schemas import avro_files
from portalbus.schemas.codec import HEADER_BYTES, Decoded, WriterSchemas, frame
from portalbus.schemas.models import Event
from portalbus.streams.decoding.contents import DEADLY, TOGETHER, content_of
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.judgement.docket import Unreadable

SEAM = Path(__file__).parents[1] / "support" / "crash_seam"


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder(writers()) as found:
        yield found


@pytest.fixture
def _deadly_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(SEAM), os.environ.get("PYTHONPATH", ""))))


def value(number: int, subject: str = "Đèn đường hỏng") -> bytes:
    return value_of(Event(envelope(number, "H26", number), receipt(subject=subject)))


def decoders() -> list[psutil.Process]:
    """The processes that this one has for decoding."""
    return [one for one in psutil.Process().children() if "portalbus.streams.decoding" in one.cmdline()]


def test_it_says_the_same_as_reading_here_and_in_order(decoder: Decoder) -> None:
    odd = [
        None,
        b"",
        b"no avro",
        value(1)[:-3],
        value(1) + b"x",
        misshapen_value(envelope(1, "H26", 1), receipt(), subject=""),
    ]
    stated = manifest_value(manifest("H26"))
    values = [*odd, stated, value_of(Event(envelope(2, "H26", 2), directive())), *map(value, range(1, 2 * TOGETHER))]
    contents = decoder.read(values)
    assert contents == [content_of(one, writers()) for one in values]
    last = contents[-1]
    assert isinstance(last, Decoded)
    assert last.event.payload.model_fields_set == set(type(last.event.payload).model_fields)
    assert last.event.payload.model_copy(update={"subject": "Khác"}).model_dump_json()
    assert decoder.read([]) == []


@pytest.mark.usefixtures("_deadly_marker")
def test_the_record_that_kills_it_is_found_and_no_other_is_lost(decoder: Decoder) -> None:
    values = list(map(value, range(1, 2 * TOGETHER + 9)))
    values[TOGETHER + 7] = value(TOGETHER + 8, "kills the decoder")
    contents = decoder.read(values)
    assert [at for at, content in enumerate(contents) if not isinstance(content, Decoded)] == [TOGETHER + 7]
    assert contents[TOGETHER + 7] == Unreadable(DEADLY, "the decoder died 2 times of this record alone")
    assert contents[:3] == [content_of(one, writers()) for one in values[:3]]


def test_a_schema_that_is_learned_meanwhile_is_read_from_the_next_batch_on_by_the_same_process() -> None:
    old = {number: (name, avro_files.current(name).raw) for name, number in SCHEMA_IDS.items() if name != "Canary"}
    known, new = WriterSchemas(old), frame(77, value(1)[HEADER_BYTES:])
    with Decoder(known) as decoder:
        assert decoder.read([new, value(2)]) == [content_of(one, known) for one in (new, value(2))]
        before = decoders()
        known.add(77, "FeedbackReceived", avro_files.current("FeedbackReceived").raw)
        found = decoder.read([new, value(2)])
        assert decoders() == before
    assert found == [content_of(value(1), known), content_of(value(2), known)]


def test_a_kill_from_outside_costs_no_record(decoder: Decoder) -> None:
    values = list(map(value, range(1, 30)))
    expected = decoder.read(values)
    for _ in range(2):
        (process,) = decoders()
        process.kill()
        assert decoder.read(values) == expected


def test_one_that_does_not_answer_is_started_anew() -> None:
    with Decoder(writers(), longest_s=5.0) as decoder:
        expected = decoder.read([value(1)])
        (process,) = decoders()
        process.send_signal(signal.SIGSTOP)
        assert decoder.read([value(1)]) == expected
        assert not process.is_running()


def test_it_ends_with_whoever_started_it() -> None:
    decoder = Decoder(writers())
    decoder.read([value(1)])
    (process,) = decoders()
    process.terminate()  # a supervisor tells the worker and all its children: the worker finishes first
    process.send_signal(signal.SIGINT)
    decoder.read([value(2)])
    assert decoders() == [process]
    decoder.close()
    assert not process.is_running()


def test_it_ends_when_the_worker_is_gone_without_a_word() -> None:
    """kill -9 of the worker closes the pipes, and nothing else."""
    decoder = Decoder(writers())
    decoder.read([value(1)])
    (process,) = decoders()
    assert decoder._running is not None
    decoder._running.questions.close()
    deadline = time.monotonic() + 10
    while process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    decoder.close()
