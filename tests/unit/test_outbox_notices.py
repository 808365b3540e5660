"""What a source does when the centre asks it for events again: on a real outbox, without a broker."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal_events import directive, feedback
from portalbus.producers import Bounds, Portal, repair_outbox
from portalbus.producers.answers import answer_with_manifest
from portalbus.producers.backlog import RESEND_ROWS, Backlog, Fate, Settled
from portalbus.producers.lane_records import read_manifest
from portalbus.producers.notices import HANDLERS, Hearing
from portalbus.producers.outbox import Outbox
from portalbus.schemas.notices import NOTICES, ResendRequested


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    return Portal("H26", outbox=tmp_path, deliver=False)


@pytest.fixture
def backlog(portal: Portal, tmp_path: Path) -> Backlog:
    """Ten events: eight were delivered, two are still to go."""
    portal.publish_many([feedback(number) for number in range(10)])
    backlog = Backlog(Outbox(tmp_path, "H26", "www", Bounds()))
    backlog.settle([Settled(row, Fate.DELIVERED) for row in backlog.after(0, 8)])
    return backlog


def ask(portal: Portal, backlog: Backlog, first: int, last: int, epoch: int = 1) -> None:
    """The centre asks for a range, and the source hears it."""
    notice = ResendRequested(
        agency="H26",
        portal="www",
        epoch=epoch,
        first=first,
        last=last,
        reason="source.waits-for-gap",
        requested_at=datetime.now(UTC),
    )
    with backlog.database.transaction() as connection:
        HANDLERS["ResendRequested"](notice, Hearing(connection, portal.settings))


def again(backlog: Backlog) -> list[int]:
    """What will be sent again."""
    return [event.sequence for event in backlog.asked_again(100)]


def test_what_is_kept_is_sent_again_in_order_and_needs_no_words(portal: Portal, backlog: Backlog) -> None:
    ask(portal, backlog, 3, 5)
    assert again(backlog) == [3, 4, 5]
    assert backlog.answers(10) == []


def test_being_asked_twice_sends_once(portal: Portal, backlog: Backlog) -> None:
    ask(portal, backlog, 3, 5)
    ask(portal, backlog, 4, 6)
    assert again(backlog) == [3, 4, 5, 6]
    assert backlog.answers(10) == []


def test_what_was_not_delivered_yet_comes_by_itself(portal: Portal, backlog: Backlog) -> None:
    ask(portal, backlog, 8, 10)
    ask(portal, backlog, 9, 10)
    assert again(backlog) == [8]
    assert backlog.answers(10) == []


def test_what_is_no_longer_kept_is_answered_with_a_manifest_once(portal: Portal, backlog: Backlog) -> None:
    backlog.prune(Bounds(keep_bytes=backlog.source_row().kept_bytes // 2), int(time.time() * 1000))
    kept_from = read_manifest(backlog, days=None).first_sequence
    assert 1 < kept_from <= 8
    ask(portal, backlog, 1, kept_from)
    ask(portal, backlog, 1, kept_from)
    assert again(backlog) == [kept_from]
    (answer,) = backlog.answers(10)
    assert answer.record is None, "the manifest is made when it is sent"
    backlog.settle_answers([answer.number])
    assert backlog.answers(10) == []


def test_an_older_epoch_is_answered_with_the_manifest_of_this_one(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False)
    portal.publish_many([feedback(number) for number in range(3)])
    portal.close()
    epoch = repair_outbox(tmp_path, "H26", "www").epoch
    portal = Portal("H26", outbox=tmp_path, deliver=False)
    backlog = Backlog(Outbox(tmp_path, "H26", "www", Bounds()))
    ask(portal, backlog, 1, 2, epoch=epoch - 1)
    assert again(backlog) == []
    assert len(backlog.answers(10)) == 1


def test_events_that_the_broker_refused_are_left_to_the_operator(portal: Portal, tmp_path: Path) -> None:
    portal.publish_many([directive(1), directive(2)])
    backlog = Backlog(Outbox(tmp_path, "H26", "www", Bounds()))
    dead, fine = backlog.after(0, 2)
    backlog.settle([Settled(dead, Fate.DEAD, "too large"), Settled(fine, Fate.DELIVERED)])
    ask(portal, backlog, 1, 2)
    assert again(backlog) == [2]
    assert backlog.answers(10) == []


def test_a_question_for_everything_is_answered_in_portions(portal: Portal, backlog: Backlog) -> None:
    ask(portal, backlog, 1, 2**62)
    assert again(backlog) == list(range(1, 9))
    assert RESEND_ROWS <= 100_000, "a transaction of the outbox stays short"


def test_every_notice_but_alerts_to_people_has_a_handler() -> None:
    assert set(HANDLERS) == set(NOTICES) - {"Alert"}


def test_answers_outlive_the_process(portal: Portal, backlog: Backlog, tmp_path: Path) -> None:
    with backlog.database.transaction() as connection:
        answer_with_manifest(connection)
    backlog.database.close()
    portal.close()
    assert len(Backlog(Outbox(tmp_path, "H26", "www", Bounds())).answers(10)) == 1
