"""What is told to whom: nothing personal to those who do not handle a case, and only what was asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bus_events import answer, directive, envelope, receipt
from portalbus.connectors.push.messages import CONFIDENTIAL, confidential_fields, event_message
from portalbus.connectors.push.wanted import Concerns, Wanted
from portalbus.producers.cloudevents import from_cloudevent
from portalbus.schemas.headers import SHOWN_FROM_HEADER, shown_from_of
from portalbus.schemas.models import Canary, Event, FeedbackReceived, Payload


def message(payload: Payload, agency: str = "H26") -> Any:
    return event_message(Event(envelope(1, agency, 1), payload), 17)


def test_a_directive_is_told_whole_as_a_cloudevent_that_can_be_published() -> None:
    published = directive("d-1", title='Có "ngoặc" và 𠮷')
    told = message(published, "G22")
    event = json.loads(told.body)
    assert told.whole is None
    assert (event["specversion"], event["subject"], event["position"]) == ("1.0", "G22/d-1", "17")
    assert event["time"].endswith("Z")
    payload, about = from_cloudevent(event)
    assert payload == published
    assert about["event_id"] == told.webhook_id == event["id"]


def test_of_a_feedback_partners_get_neither_text_nor_code() -> None:
    told = message(receipt("H26-0001", content="chuyện riêng", subject="tên người"))
    assert "chuyện riêng" not in told.body and "tên người" not in told.body
    assert json.loads(told.body)["data"].keys() == set(FeedbackReceived.model_fields) - CONFIDENTIAL
    assert json.loads(told.whole)["data"]["content"] == "chuyện riêng"


def test_an_answer_is_told_only_when_it_is_public() -> None:
    assert "Đã sửa." in message(answer()).body
    kept = message(answer(public=False, reason_text="lý do"))
    assert "Đã sửa." not in kept.body and "lý do" not in kept.body
    assert json.loads(kept.whole)["data"]["answer"] == "Đã sửa."


def test_an_answer_under_review_says_from_when_on_it_may_be_shown() -> None:
    moment = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
    told = event_message(Event(envelope(1, "H26", 1), answer()), 17, moment)
    assert json.loads(told.body)["shownfrom"] == "2026-11-24T02:15:00Z"
    assert "shownfrom" not in json.loads(message(answer()).body)
    said = [(SHOWN_FROM_HEADER, b"2026-11-24T02:15:00.000+00:00"), ("ce_id", None)]
    assert shown_from_of(said) == moment
    assert shown_from_of([]) is None


def test_a_canary_is_told_to_nobody() -> None:
    with pytest.raises(TypeError):
        confidential_fields(Canary(interval_s=60))


@pytest.mark.parametrize(
    ("payload", "agencies"),
    [
        (directive(), {"H26"}),
        (receipt("H26-0001", addressed_to="G01"), {"H26", "G01"}),
        (answer("G05-0001"), {"H26", "G05"}),
    ],
)
def test_an_event_concerns_who_says_it_and_who_has_or_had_the_case(payload: Payload, agencies: set[str]) -> None:
    assert message(payload).concerns.agencies == agencies


@pytest.mark.parametrize(
    ("wanted", "lets"),
    [
        (Wanted(), True),
        (Wanted.of(["H26"]), True),
        (Wanted.of(["G22"]), False),
        (Wanted.of([], ["DirectivePublished"]), True),
        (Wanted.of([], ["FeedbackReceived"]), False),
        (Wanted.of([], [], ["vi"]), True),
        (Wanted.of([], [], ["VI"]), True),
        (Wanted.of([], [], ["vi-vn"]), True),
        (Wanted.of([], [], ["v", "en"]), False),
    ],
)
def test_a_filter_lets_through_what_was_asked_for(wanted: Wanted, lets: bool) -> None:
    assert wanted.lets_through(Concerns("DirectivePublished", frozenset({"H26"}), "vi-VN")) is lets


def test_what_has_no_language_passes_every_language() -> None:
    assert Wanted.of([], [], ["en"]).lets_through(Concerns("FeedbackReceived", frozenset({"H26"}), None))


def test_verdicts_come_only_to_who_names_them_and_an_agency() -> None:
    verdict = Concerns("Verdict", frozenset({"H26"}), None)
    assert not Wanted().lets_through(verdict)
    assert Wanted.of(["H26"], ["Verdict"]).lets_through(verdict)
    with pytest.raises(ValueError, match="--agency"):
        Wanted.of([], ["Verdict"])
    with pytest.raises(ValueError, match="Canary is no event type"):
        Wanted.of([], ["Canary"])
