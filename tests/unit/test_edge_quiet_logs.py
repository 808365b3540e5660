"""No event may reach a log: not from our records' reprs, not from what the libraries log."""

from __future__ import annotations

import logging
import sys

import pytest

from portalbus.streams.edge.logs import LibraryLogHandler, said
from portalbus.streams.records import Batch, LaneRecord

CANARY = "Nguyen Van Canary"
RECORD = LaneRecord("lane.H26", "H26", 7, 0, CANARY.encode(), CANARY.encode(), (("x", CANARY.encode()),))


def library_record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("faust", logging.ERROR, __file__, 1, message, args, None)


def test_the_repr_of_a_record_and_of_a_batch_shows_no_payload() -> None:
    assert repr(RECORD) == "<LaneRecord lane.H26@7 17 bytes>"
    assert CANARY not in repr(Batch([RECORD], 1, 17))


@pytest.mark.parametrize("argument", [CANARY.encode(), [CANARY], {"a": CANARY}, ValueError(CANARY), (RECORD,)])
def test_an_argument_that_could_be_an_event_is_not_shown(argument: object) -> None:
    assert CANARY not in said(library_record("Crashed reason=%r", argument))


def test_numbers_and_short_texts_are_shown() -> None:
    assert said(library_record("node %s: %d of %.1f", "broker", 3, 4.0)) == "node broker: 3 of 4.0"


def test_named_arguments_are_shown_like_the_others() -> None:
    record = library_record("%(count)d of %(what)s", {"count": 3, "what": CANARY.encode()})
    assert said(record) == "3 of <bytes>"


def test_a_message_that_does_not_fit_its_arguments_is_shown_as_it_is() -> None:
    assert said(library_record("%d items", object())) == "%d items"


def test_what_asyncio_says_about_a_failed_task_does_not_quote_its_exception() -> None:
    message = f"Task exception was never retrieved\nfuture: <Task finished exception=ValueError('{CANARY}')>"
    assert said(library_record(message)) == "Task exception was never retrieved"


def test_a_very_long_message_is_cut() -> None:
    assert len(said(library_record("x" * 10_000))) < 400


def test_an_exception_is_shown_by_its_type_and_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        record = library_record("Drain messages raised: %r", ValueError(CANARY))
        record.exc_info = sys.exc_info()
        LibraryLogHandler().emit(record)
    shown = "".join(capsys.readouterr())
    assert CANARY not in shown
    assert "ValueError" in shown
    assert "test_edge_quiet_logs.py" in shown
