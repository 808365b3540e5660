"""Who has a case and when its answer is due: what a citizen reads, from what casework reckoned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest

from bus_events import answer, public_code, receipt
from casework_bench import CaseworkBench, casework_bench
from central_process import CentralProcess
from portalbus.producers.testing import a_step
from portalbus.schemas.models import CaseStep, CaseUrgency, Outcome, RefusalReason
from portalbus.schemas.zone import ZONE

CASE, CODE = "H26-0001", public_code(1)
DAY = timedelta(days=1)


@pytest.fixture
def bench(ledger_url: str) -> Iterator[CaseworkBench]:
    with casework_bench(ledger_url) as found:
        found.now = datetime.now(UTC).replace(microsecond=0)
        yield found


@pytest.fixture
def portal(central: CentralProcess, bench: CaseworkBench) -> httpx2.Client:
    name = f"test-{time.monotonic_ns()}.example.gov.vn"
    return httpx2.Client(base_url=central.address, headers={"Host": name}, timeout=10)


def due(portal: httpx2.Client) -> dict[str, Any] | None:
    """What the API says of the one case there is."""
    found: dict[str, Any] | None = portal.get(f"/api/v1/feedback/{CODE}").raise_for_status().json()["answer_due"]
    return found


def page(portal: httpx2.Client, language: str = "en") -> str:
    return portal.get(f"/{language}/feedback/{CODE}").raise_for_status().text


def received(bench: CaseworkBench, days_ago: int = 0, regime: str = "R2") -> None:
    now = bench.now
    bench.now = now - days_ago * DAY
    bench.say("H26", receipt(CASE, 1, regime=regime, received_at=bench.now))
    bench.work(now)


def tell(bench: CaseworkBench, agency: str, step: CaseStep, **values: object) -> None:
    bench.now += timedelta(seconds=1)
    bench.say(agency, a_step(CASE, step, at=bench.now, **values))
    bench.work()


def test_an_open_case_says_who_owes_the_answer_and_by_which_day(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench)
    found = due(portal)
    assert found is not None
    assert (found["agency"], found["state"], found["extended_because"]) == ("H26", "open", None)
    left = (date.fromisoformat(found["due_on"]) - datetime.now(ZONE).date()).days
    assert left >= 20, "Decision 574/2017: twenty days"
    assert f"{left} days left" in page(portal)
    assert "Phải trả lời chậm nhất ngày" in page(portal, "vi") and f"还剩 {left} 天" in page(portal, "zh")


def test_a_case_is_as_urgent_as_was_said_of_it_last(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench)
    assert not is_shown_urgent(portal)
    tell(bench, "H26", CaseStep.URGENCY_CHANGED, urgency=CaseUrgency.URGENT)
    assert is_shown_urgent(portal)
    tell(
        bench,
        "H26",
        CaseStep.URGENCY_CHANGED,
        urgency=CaseUrgency.NORMAL,
        reason="Nước đã rút khỏi khu dân cư hôm nay.",
    )
    assert not is_shown_urgent(portal)


def is_shown_urgent(portal: httpx2.Client) -> bool:
    """What API and page say of the one case; they say the same."""
    told = portal.get(f"/api/v1/feedback/{CODE}").raise_for_status().json()["urgency"] == "URGENT"
    assert ("chip-warn" in page(portal)) is told
    return told


def test_a_transfer_names_the_body_that_has_it_now_with_a_clock_of_its_own(
    bench: CaseworkBench, portal: httpx2.Client
) -> None:
    received(bench, days_ago=10)
    before = due(portal)
    tell(bench, "H26", CaseStep.TRANSFERRED, to_agency="G11")
    after = due(portal)
    assert before is not None and after is not None
    assert (before["agency"], after["agency"]) == ("H26", "G11") and after["due_on"] > before["due_on"]


def test_while_the_sender_is_asked_the_clock_is_said_to_stand(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench)
    tell(bench, "H26", CaseStep.ACCEPTED)
    tell(bench, "H26", CaseStep.CLARIFICATION_ASKED)
    found = due(portal)
    assert found is not None and (found["state"], found["due_on"]) == ("paused", None)
    assert "The clock is stopped" in page(portal) and "left" not in page(portal)
    tell(bench, "H26", CaseStep.CLARIFICATION_GIVEN)
    again = due(portal)
    assert again is not None and again["state"] == "open"


def test_an_extension_shows_the_new_day_and_why(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench, regime="R4")
    before = due(portal)
    assert before is not None
    tell(bench, "H26", CaseStep.ACCEPTED)
    why, wanted = "Cần lấy thêm ý kiến của Bộ Tư pháp.", date.fromisoformat(before["due_on"]) + 5 * DAY
    tell(bench, "H26", CaseStep.EXTENDED, due_on=wanted, reason=why)
    after = due(portal)
    assert after is not None
    assert (after["extended_because"], after["state"]) == (why, "open")
    assert why in page(portal, "vi") and "More time was asked for" in page(portal)


def test_an_answer_that_is_late_is_said_to_be_late(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench, days_ago=60)
    found = due(portal)
    assert found is not None and found["state"] == "overdue"
    late = (datetime.now(ZONE).date() - date.fromisoformat(found["due_on"])).days
    assert f"{late} days late" in page(portal) and f"quá hạn {late} ngày" in page(portal, "vi")


def test_a_procedure_without_a_term_says_so_and_nothing_is_owed_once_it_is_answered(
    bench: CaseworkBench, portal: httpx2.Client
) -> None:
    received(bench, regime="R1")
    found = due(portal)
    assert found is not None and (found["state"], found["due_on"]) == ("no_term", None)
    bench.say("H26", answer(CASE, answered_at=bench.now))
    assert due(portal) is None


def test_a_case_that_casework_has_not_come_to_says_nothing_of_a_day(
    bench: CaseworkBench, portal: httpx2.Client
) -> None:
    received(bench)
    bench.now += timedelta(seconds=1)
    bench.say("H26", a_step(CASE, CaseStep.TRANSFERRED, at=bench.now, to_agency="G11"))
    found = portal.get(f"/api/v1/feedback/{CODE}").json()
    assert (found["owner"], found["answer_due"]) == ("G11", None)
    assert "days left" not in page(portal)
    bench.work()
    assert due(portal) is not None


def test_after_a_reopening_the_first_answer_stays_what_it_was(bench: CaseworkBench, portal: httpx2.Client) -> None:
    received(bench)
    bench.say("H26", answer(CASE, answered_at=bench.now, public=False))
    tell(bench, "H26", CaseStep.REOPENED)
    refusal = {"outcome": Outcome.REJECTED, "answer": None, "reason_code": RefusalReason.DUPLICATE}
    words = {
        "reason_text": "Nội dung trùng với phản ánh đã trả lời trước đó.",
        "legal_basis": "Nghị định 20/2008/NĐ-CP",
    }
    bench.say("H26", answer(CASE, answered_at=bench.now, public=False, **refusal, **words))
    steps = portal.get(f"/api/v1/feedback/{CODE}").json()["steps"]
    assert [step["outcome"] for step in steps] == [None, "ANSWERED", None, "REJECTED"]
