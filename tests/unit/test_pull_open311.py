"""The Open311 connector brings service requests in as feedback, and their closing as answers or refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from geo_report import GeoReport
from local_site import LocalSite
from portalbus.connectors.pull.found import Before, Listing
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.naming import case_id
from portalbus.connectors.pull.open311.kind import OPEN311
from portalbus.connectors.pull.open311.settings import Open311Config
from portalbus.connectors.pull.web.client import Web
from pull_readings import Remembering, surroundings
from pulled_portal import HandClock, bounds

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def city() -> Iterator[GeoReport]:
    """A city's service."""
    with LocalSite() as site:
        yield GeoReport(site)


def reader(city: GeoReport, clock: HandClock | None = None, **settings: Any) -> Remembering:
    """Passes over the city's requests."""
    said = {"agency": "H26", "kind": "open311", "address": city.address, "regime": "R6", **settings}
    config = Open311Config.model_validate(said)
    web = Web(bounds())
    return Remembering(lambda: OPEN311.open(config, surroundings(clock or HandClock(NOW), web.client)))


@pytest.mark.parametrize("form", ["json", "xml"])
def test_requests_are_feedback_and_a_second_pass_brings_nothing(city: GeoReport, form: str) -> None:
    name = city.make(1, NOW - timedelta(days=2), "Đèn hỏng. Gọi tôi: 0912 345 678.", first_name="Nguyễn Văn An")
    passes = reader(city, format=form)
    (item,) = passes.read().items
    assert (item.id, item.event_type) == (name, "FeedbackReceived")
    assert item.data == {
        "addressed_to": "H26",
        "regime": "R6",
        "category": 6,
        "channel": "APP",
        "received_at": "2026-11-20T08:00:00+00:00",
        "subject": "Chiếu sáng công cộng",
        "content": "Đèn hỏng. Gọi tôi: [đã lược].",
        "language": "vi",
    }
    again = passes.read()
    assert (again.items, again.listing) == ([], Listing.WINDOW)


def test_a_closed_request_is_an_answer_to_the_same_case(city: GeoReport) -> None:
    clock = HandClock(NOW)
    name = city.make(1, NOW - timedelta(days=20))
    passes = reader(city, clock)
    passes.read()
    clock.forward(days=10)
    city.close(name, clock.now)
    received, resolved = passes.read().items
    assert received.id == name
    assert (resolved.id, resolved.event_type) == (f"{name}#resolved", "FeedbackResolved")
    assert resolved.data == {
        "case_id": case_id("H26", "www", "H26/www", name),
        "outcome": "ANSWERED",
        "answer": "Đèn đã được thay ngày 22/11/2026.",
        "answered_at": "2026-12-02T08:00:00+00:00",
        "language": "vi",
    }
    asked = len(city.asked)
    assert passes.read().items == []
    assert all("service_request_id" not in query for query in city.asked[asked:])  # nothing is open any more


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ("Nội dung không thuộc thẩm quyền của quận, đề nghị gửi Sở.", "OTHER_GROUND"),
        ("Phản ánh trùng lặp với phản ánh 12-2026 đã tiếp nhận.", "DUPLICATE"),
        ("TỪ CHỐI: hình ảnh không phải ở thành phố.", "OTHER_GROUND"),
        ("This is a duplicate of request 12-2026, which is open.", "DUPLICATE"),
    ],
)
def test_a_closing_note_that_refuses_is_a_refusal_with_its_reason(city: GeoReport, notes: str, reason: str) -> None:
    city.close(city.make(1, NOW - timedelta(days=2)), NOW, notes)
    resolved = reader(city).read().items[1].data
    assert (resolved["outcome"], resolved["reason_code"], resolved["reason_text"]) == ("REJECTED", reason, notes)
    assert "answer" not in resolved


def test_more_requests_than_an_answer_holds_are_asked_for_in_parts(city: GeoReport) -> None:
    city.limit = 10
    names = {city.make(number, NOW - timedelta(minutes=7 * number)) for number in range(1, 200)}
    found = reader(city, page_limit=10).read()
    assert {item.id for item in found.items} == names
    assert len(found.items) == 199


def test_a_server_that_overlooks_the_times_is_left_with_a_reason(city: GeoReport) -> None:
    city.limit = 3
    for number in range(5):
        city.make(number, NOW - timedelta(days=1))
    found = reader(city, page_limit=3).read()
    assert "cannot be asked for" in str(found.remarks[0])  # all in one second
    city.knows_times = False
    with pytest.raises(ReadFailed, match="however short the time"):
        reader(city, page_limit=3).read()


def test_each_span_of_time_is_remembered_so_that_a_failure_costs_only_its_own(city: GeoReport) -> None:
    for days in (25, 15, 5):
        city.make(days, NOW - timedelta(days=days))
    passes = reader(city)
    source = passes.open()
    reading = source.read(Before())
    source.close()
    assert [item.id for item in reading.items] == ["25-2026"]
    assert reading.more
    passes.cursor = dict(reading.cursor)
    assert {item.id for item in passes.read().items} == {"15-2026", "5-2026"}


def test_open_cases_that_the_server_lost_are_an_alert_and_close_nothing(city: GeoReport) -> None:
    clock = HandClock(NOW)
    for number in range(4):
        city.make(number, NOW - timedelta(days=20))
    passes = reader(city, clock)
    passes.read()
    clock.forward(days=10)
    for number in range(3):
        del city.requests[f"{number}-2026"]
    found = passes.read()
    assert found.items == []
    assert found.readings[-1].alert.startswith("3 of 4 open requests are not known")


def test_a_server_without_lookups_by_id_still_closes_what_it_lists(city: GeoReport) -> None:
    city.knows_ids = False
    city.make(1, NOW - timedelta(days=20))
    with LocalSite() as other:
        strange = GeoReport(other)
        strange.site.put("/open311/v2/requests.json", '[{"service_request_id": "other", "status": "open"}]')
        passes = reader(strange)
        assert [item.id for item in passes.read().items] == ["other"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>not here</html>", "is no JSON"),
        ('{"a": 1}', "no list of requests"),
        ('[{"code": "404", "description": "jurisdiction_id provided was not found"}]', "jurisdiction_id provided"),
        ("[" * 100_000, "is no JSON"),
        ('{"errors": [{"code": 400, "description": "x"}]}', "x"),
        ("null", "no list of requests"),
    ],
)
def test_what_is_no_list_of_requests_is_said(city: GeoReport, answer: str, said: str) -> None:
    city.site.put("/open311/v2/requests.json", answer, "application/json")
    with pytest.raises(ReadFailed, match=said):
        reader(city).read()


def test_a_bomb_of_entities_is_not_unfolded(city: GeoReport) -> None:
    entities = '<!ENTITY b "b"><!ENTITY c "&b;&b;&b;">'
    bomb = f'<?xml version="1.0"?><!DOCTYPE a [{entities}]><service_requests>&c;</service_requests>'
    city.site.put("/open311/v2/requests.xml", bomb, "text/xml")
    with pytest.raises(ReadFailed, match="declares entities"):
        reader(city, format="xml").read()


def test_a_missing_jurisdiction_and_a_missing_server_are_named(city: GeoReport) -> None:
    city.jurisdiction = "hanoi.gov.vn"
    with pytest.raises(ReadFailed, match=r"answers 404.*jurisdiction"):
        reader(city).read()
    assert reader(city, jurisdiction="hanoi.gov.vn").read().items == []
    with pytest.raises(ReadFailed, match="answers 404"):
        reader(city, address=f"{city.site.url}/elsewhere").read()


def test_odd_records_do_not_stop_the_others(city: GeoReport) -> None:
    good = '{"service_request_id": 7, "description": "Ngập", "requested_datetime": "2026-11-20T08:00:00+07:00"}'
    odd = '[null, 3, "x", {"token": "a"}, {"service_request_id": {"a": 1}}, {"service_request_id": "8", "status": [1]}'
    city.site.put("/open311/v2/requests.json", f"{odd}, {good}]", "application/json")
    found = reader(city, recheck=0).read()
    assert [item.id for item in found.items] == ["8", "7"]
    assert "2 requests have no service_request_id" in str(found.remarks[0])
