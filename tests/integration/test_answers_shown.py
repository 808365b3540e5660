"""An answer is nobody's to read before the centre can return it no more: on no page, in no list, feed or search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest

from bus_events import Lane, progress, receipt, writers
from bus_events import answer as answered
from central_process import CentralProcess
from ledger_facts import one
from ledger_rows import LedgerRows, answer, feedback
from memory_ledger import directory
from portalbus.schemas.models import CaseStep, FeedbackResolved, Outcome, RefusalReason
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.settings import StreamSettings

CODE = "7GQ2M0Z4KX9A"
WORDS = "Đoạn đường đã được vá xong ngày hôm qua."
REASON = "Việc này đang được Tòa án thụ lý giải quyết."


def refusal(case: str) -> FeedbackResolved:
    return answer(
        case,
        outcome=Outcome.REJECTED,
        answer=None,
        reason_code=RefusalReason.COURT_OR_OTHER_PROCEDURE,
        reason_text=REASON,
        legal_basis="Luật Tiếp công dân 2013",
    )


@pytest.fixture
def portal(central: CentralProcess, ledger: LedgerRows) -> httpx2.Client:
    name = f"test-{time.monotonic_ns()}.example.gov.vn"
    return httpx2.Client(base_url=central.address, headers={"Host": name}, timeout=10)


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def everywhere(portal: httpx2.Client, look: psycopg.Connection[Any]) -> dict[str, str]:
    """Everything that the public can read of the one answer there is."""
    event = one(look, "select event_id::text from ledger.event where event_type = 'FeedbackResolved'")
    position = one(look, "select max(position) - 1 from ledger.event")
    with portal.stream("GET", f"/api/v1/stream?after={position}&type=FeedbackResolved") as stream:
        streamed = next(line for line in stream.iter_lines() if line.startswith("data:"))
    pages = {
        "page": f"/vi/feedback/{CODE}",
        "api": f"/api/v1/feedback/{CODE}",
        "answer": f"/vi/answers/{event}",
        "search": "/vi/search?answers=1",
        "words": "/vi/search?answers=1&q=doan duong da duoc",
        "feed": f"/vi/feed.atom?type=FeedbackResolved&x={time.monotonic_ns()}",
        "rss": f"/vi/feed.rss?type=FeedbackResolved&x={time.monotonic_ns()}",
        "found": "/api/v1/search?among=answers&q=doan duong da duoc",
    }
    return {name: portal.get(path).text for name, path in pages.items()} | {"stream": streamed}


def saying(found: dict[str, str], *words: str) -> set[str]:
    """The places at which one of these is said."""
    return {place for place, text in found.items() if any(word in text for word in words)}


def put(ledger: LedgerRows, said: FeedbackResolved, hours: float) -> None:
    ledger.receive(feedback("H26-2026-0001", CODE))
    ledger.resolve(said, "H26", datetime.now(UTC) - timedelta(hours=hours), shown=False)


def test_an_answer_is_nowhere_until_its_review_is_over(
    portal: httpx2.Client, ledger: LedgerRows, look: psycopg.Connection[Any]
) -> None:
    put(ledger, answer("H26-2026-0001", answer=WORDS), hours=23.9)
    before = everywhere(portal, look)
    assert saying(before, "vá xong", "ANSWERED\\", '"ANSWERED"') == set()
    assert "đang được xem xét" in before["page"] and CODE not in before["stream"]
    api = portal.get(f"/api/v1/feedback/{CODE}").json()
    assert (api["state"], api["outcome"], api["answer"], api["answer_public"]) == ("RESOLVED", None, None, True)
    assert api["shown_from"] is not None
    look.execute("update ledger.case set answer_heard_at = answer_heard_at - interval '10 minutes'")
    until(lambda: "vá xong" in everywhere(portal, look)["feed"])
    after = everywhere(portal, look)
    assert saying(after, "vá xong") == {"page", "api", "answer", "search", "words", "feed", "stream", "rss", "found"}
    assert portal.get(f"/api/v1/feedback/{CODE}").json()["shown_from"] is None


def test_an_id_that_another_agency_uses_too_leads_to_the_answer_that_had_it_first(
    portal: httpx2.Client, ledger: LedgerRows, look: psycopg.Connection[Any]
) -> None:
    """Whoever reads an answer's address knows its id, and may publish something of its own under it."""
    put(ledger, answer("H26-2026-0001", answer=WORDS), hours=48)
    event = one(look, "select event_id::text from ledger.event where event_type = 'FeedbackResolved'")
    ledger.receive(feedback("H29-2026-0001", "8GQ2M0Z4KX9B"))
    taken = "update ledger.event set event_id = %s where agency = 'H29' and event_type = %s"
    look.execute(taken, (event, "FeedbackReceived"))
    assert WORDS in portal.get(f"/vi/answers/{event}").text
    ledger.resolve(answer("H29-2026-0001"), "H29")
    look.execute("delete from ledger.event where agency = 'H29' and event_type = 'FeedbackReceived'")
    look.execute(taken, (event, "FeedbackResolved"))
    page = portal.get(f"/vi/answers/{event}")
    assert page.status_code == 200
    assert WORDS in page.text


def test_a_refusal_under_review_does_not_even_say_that_it_is_one(
    portal: httpx2.Client, ledger: LedgerRows, look: psycopg.Connection[Any]
) -> None:
    put(ledger, refusal("H26-2026-0001"), hours=1)
    hidden = ("Tòa án thụ lý", "COURT_OR", "REJECTED", "Luật Tiếp công dân")
    assert saying(everywhere(portal, look), *hidden) == set()
    look.execute("update ledger.case set answer_published_at = now()")  # as the step PUBLISHED does
    assert saying(everywhere(portal, look), *hidden) >= {"page", "api", "answer", "stream"}


def test_an_answer_waits_until_what_the_centre_said_meanwhile_was_heard(
    portal: httpx2.Client, ledger: LedgerRows, look: psycopg.Connection[Any]
) -> None:
    put(ledger, answer("H26-2026-0001", answer=WORDS), hours=24.1)
    look.execute(
        "insert into ledger.hearing (agency, heard_until, heard_since) values ('G22', now() - interval '10 minutes',"
        " now() - interval '1 day') on conflict (agency) do update set heard_until = excluded.heard_until"
    )
    assert saying(everywhere(portal, look), "vá xong") == set(), "its return may lie on the centre's lane, unread"
    look.execute("update ledger.hearing set heard_until = now() - interval '1 hour'")
    look.execute("update ledger.case set answer_heard_at = answer_heard_at - interval '10 minutes'")
    assert "page" in saying(everywhere(portal, look), "vá xong"), "a centre that is not heard is waited for 15 minutes"
    look.execute("delete from ledger.hearing")


def test_the_workers_setting_is_what_readers_go_by(
    portal: httpx2.Client, ledger: LedgerRows, ledger_url: str, look: psycopg.Connection[Any]
) -> None:
    lanes = {agency: Lane(agency) for agency in ("G22", "H26")}
    for hours, shown in ((0, True), (24, False)):
        ledger.empty()
        look.execute("update ledger.lane set next_offset = 0")
        lanes = {agency: Lane(agency) for agency in lanes}
        worker = Ledger(ledger_url, writers(), directory(), bounds=Bounds(review=timedelta(hours=hours)))
        for lane in lanes.values():
            lane.now = datetime.now(UTC) - timedelta(minutes=1)
        worker.tell_review()
        worker.open_lanes(lanes)
        said = [lanes["H26"].say(receipt(code=7)), lanes["H26"].say(answered(answer=WORDS))]
        worker.take_in(said)
        code = one(look, "select public_code from ledger.case")
        assert ("vá xong" in portal.get(f"/vi/feedback/{code}").text) is shown
        if not shown:
            worker.take_in([lanes["H26"].say(progress(CaseStep.PUBLISHED))])
            assert "vá xong" not in portal.get(f"/vi/feedback/{code}").text, "published by the body itself"
            worker.take_in([lanes["G22"].say(progress(CaseStep.PUBLISHED))])
            assert "vá xong" in portal.get(f"/vi/feedback/{code}").text, "published by the centre"
        worker.close()


@pytest.mark.parametrize(
    ("said", "hours"), [([], 24), (["--review-hours", "0"], 0), (["--review-hours", "until-published"], 876_000)]
)
def test_how_long_a_review_lasts_is_a_setting_of_the_worker(said: list[str], hours: int) -> None:
    where = ["--bootstrap", "b:9092", "--registry-url", "r", "--database-url", "d"]
    assert StreamSettings.parse("worker", [*where, *said]).review == timedelta(hours=hours)


@pytest.mark.parametrize("wrong", ["-1", "a day", "1e9", "nan"])
def test_a_review_that_is_no_time_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--bootstrap", "b:9092", "--registry-url", "r", "--database-url", "d"]
    with pytest.raises(SystemExit):
        StreamSettings.parse("worker", [*where, f"--review-hours={wrong}"])
    assert "a number of hours" in capsys.readouterr().err
