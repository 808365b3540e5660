"""What an outbox answers when the centre's digest of a bucket differs: exactly its events, as far as they are kept."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from portal_events import directive, feedback
from portalbus.producers import Bounds, Portal
from portalbus.producers import bucket_contents as module
from portalbus.producers.answers import answer
from portalbus.producers.backlog import DAY, Backlog, Fate, Settled
from portalbus.producers.bucket_contents import read_contents
from portalbus.producers.outbox import Outbox
from portalbus.schemas.digest import EMPTY, event_digest, joined
from portalbus.schemas.models import BucketContents
from portalbus.schemas.notices import DigestRequested


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    return Portal("H26", outbox=tmp_path, deliver=False)


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    return Backlog(Outbox(tmp_path, "H26", "www", Bounds()))


def request(
    first: int = 1, event_type: str = "FeedbackReceived", epoch: int = 1, day: date | None = None
) -> DigestRequested:
    now = datetime.now(UTC)
    return DigestRequested(
        agency="H26",
        portal="www",
        epoch=epoch,
        day=day or now.date(),
        event_type=event_type,
        first=first,
        requested_at=now,
    )


def contents(backlog: Backlog, asked: DigestRequested) -> BucketContents:
    found = read_contents(backlog, asked)
    assert found is not None
    return found


def deliver(backlog: Backlog, *fates: Fate) -> None:
    rows = backlog.after(backlog.source_row().delivered_sequence, len(fates))
    backlog.settle([Settled(row, fate, "") for row, fate in zip(rows, fates, strict=True)])


def test_the_events_of_a_bucket_make_up_its_digest(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(1), directive(1), feedback(2)])
    deliver(backlog, *[Fate.DELIVERED] * 3)
    told = contents(backlog, request())
    assert ([event.sequence for event in told.events], told.first, told.last) == ([1, 3], 1, 3)
    digest = EMPTY
    for event in told.events:
        digest = joined(
            digest, event_digest(bytes.fromhex(event.id.replace("-", "")), bytes.fromhex(event.content_hash))
        )
    with backlog.database.reading() as connection:
        (stated,) = connection.execute("select digest from bucket where event_type = 'FeedbackReceived'").fetchone()
    assert digest == stated


def test_what_was_not_delivered_is_named_as_such_or_not_at_all(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(1), feedback(2), feedback(3)])
    deliver(backlog, Fate.DELIVERED, Fate.DEAD)
    told = contents(backlog, request())
    assert [(event.sequence, event.delivered) for event in told.events] == [(1, True), (2, False)]
    assert told.last == 2


def test_a_large_bucket_is_told_from_where_it_was_asked(
    portal: Portal, backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 2)
    portal.publish_many([feedback(number) for number in range(5)])
    deliver(backlog, *[Fate.DELIVERED] * 5)
    told = [contents(backlog, request(first)) for first in (1, 3, 5)]
    assert [[event.sequence for event in part.events] for part in told] == [[1, 2], [3, 4], [5]]
    assert [(part.first, part.last) for part in told] == [(1, 2), (3, 4), (5, 5)]


def test_it_is_complete_from_the_first_event_that_is_kept(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(number) for number in range(4)])
    deliver(backlog, Fate.DEAD, Fate.DELIVERED, Fate.DELIVERED, Fate.DELIVERED)
    with backlog.database.transaction() as connection:
        connection.execute("update event set published_at = published_at - ? where sequence = 2", (40 * DAY,))
    backlog.prune(Bounds(), int(datetime.now(UTC).timestamp() * 1000))
    told = contents(backlog, request())
    assert (told.first, [event.sequence for event in told.events]) == (3, [3, 4])


def test_another_day_and_another_type_hold_nothing(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(1)])
    deliver(backlog, Fate.DELIVERED)
    assert contents(backlog, request(day=date(2026, 1, 1))).events == ()
    assert contents(backlog, request(event_type="DirectivePublished")).events == ()


def test_of_another_epoch_nothing_is_known(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(1)])
    assert read_contents(backlog, request(epoch=2)) is None


def test_a_question_waits_in_the_queue_until_it_is_answered(portal: Portal, backlog: Backlog) -> None:
    portal.publish_many([feedback(1)])
    asked = request()
    with backlog.database.transaction() as connection:
        answer(connection, asked)
    (queued,) = backlog.answers(10)
    assert queued.record == asked
