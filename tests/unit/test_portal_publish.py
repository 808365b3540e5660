"""publish() stores what is right and says what is wrong, where, and how to mend it."""

from __future__ import annotations

import stat
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal_events import directive, feedback
from portalbus.producers import (
    Bounds,
    DirectiveAction,
    EventRefused,
    FeedbackReceived,
    FeedbackResolved,
    OutboxFull,
    Outcome,
    Portal,
    PortalClosed,
    from_cloudevent,
    new_event_id,
)
from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import StoredEvent
from portalbus.schemas import avro_files, codec
from portalbus.schemas.models import Envelope, Event, Payload

CLOUDEVENT = {
    "specversion": "1.0",
    "id": "0192f0c1-7e3a-7c55-9f10-3c1f5b3f0a01",
    "source": "/H26/www",
    "type": "portalbus.events.FeedbackReceived",
    "time": "2026-11-20T09:15:00+07:00",
    "correlationid": "phản ánh 7",
    "data": feedback(7).model_dump(mode="json"),
}


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    return Portal("H26", outbox=tmp_path, deliver=False)


def stored(portal: Portal) -> list[StoredEvent]:
    place = portal.settings
    return Outbox(place.outbox, place.agency, place.portal, place.bounds).events(1, 10**9)


def decoded(row: StoredEvent) -> Event:
    writers = codec.WriterSchemas({1: (row.event_type, avro_files.current(row.event_type).raw)})
    event = codec.decode(codec.frame(1, row.body), writers)
    assert isinstance(event, Event)
    return event


def test_a_published_event_lies_in_the_outbox_as_it_was_said(portal: Portal) -> None:
    said = directive(15)
    receipt = portal.publish(said, correlation_id="văn bản 15")
    (row,) = stored(portal)
    event = decoded(row)
    assert event.payload == said
    assert (receipt.sequence, receipt.epoch, receipt.key) == (1, 1, "H26/ct-15")
    assert event.envelope == Envelope(
        id=receipt.event_id,
        agency="H26",
        portal="www",
        epoch=1,
        sequence=1,
        occurred_at=event.envelope.occurred_at,
        published_at=event.envelope.published_at,
        correlation_id="văn bản 15",
    )
    assert abs((datetime.now(UTC) - event.envelope.published_at).total_seconds()) < 10


def test_sequences_follow_the_order_of_publishing(portal: Portal) -> None:
    receipts = [
        portal.publish(feedback(1)),
        *portal.publish_many([feedback(2), directive(3)]),
        portal.publish(feedback(4)),
    ]
    assert [receipt.sequence for receipt in receipts] == [1, 2, 3, 4]
    assert [row.key for row in stored(portal)] == ["H26-2026-000001", "H26-2026-000002", "H26/ct-3", "H26-2026-000004"]


def test_text_is_put_into_normal_form(portal: Portal) -> None:
    text = unicodedata.normalize("NFD", "Đường Nguyễn Huệ ngập nước")
    portal.publish(feedback(1, text))
    payload = decoded(stored(portal)[0]).payload
    assert isinstance(payload, FeedbackReceived)
    assert payload.content == unicodedata.normalize("NFC", text)


def refused(portal: Portal, payload: Payload) -> EventRefused:
    with pytest.raises(EventRefused) as caught:
        portal.publish(payload)
    assert stored(portal) == []
    return caught.value


def test_a_refusal_names_rule_place_and_mend(portal: Portal) -> None:
    error = refused(
        portal,
        FeedbackResolved(
            case_id="H26-2026-000001", outcome=Outcome.REJECTED, language="vi", answered_at=datetime.now(UTC)
        ),
    )
    assert error.rule == "refusal.needs-reason-code"
    assert error.findings[0].path == "/reason_code"
    assert "Fill in reason_code" in str(error)


def test_a_changed_copy_is_checked_again(portal: Portal) -> None:
    error = refused(portal, directive(1).model_copy(update={"version": 0}))
    assert error.findings[0].path == "/version"


def test_an_event_above_the_size_bound_is_refused(portal: Portal) -> None:
    body = "ệ" * 100_000
    error = refused(portal, directive(1).model_copy(update={"body": body}))
    assert error.rule == "schema.event-too-large"


def test_an_unknown_agency_is_refused(tmp_path: Path) -> None:
    portal = Portal("H99", outbox=tmp_path, deliver=False)
    with pytest.raises(EventRefused, match=r"agency\.unknown"):
        portal.publish(directive(1))


@pytest.mark.parametrize(
    ("about", "path", "rule"),
    [
        ({"event_id": "7"}, "/envelope/id", "schema.format"),
        ({"occurred_at": datetime(2026, 11, 20, 8)}, "/envelope/occurred_at", "schema.time-without-zone"),
        ({"occurred_at": datetime(1900, 1, 1, tzinfo=UTC)}, "/envelope/occurred_at", "time.implausible"),
        ({"correlation_id": "x" * 129}, "/envelope/correlation_id", "schema.too-long"),
        ({"traceparent": "yes"}, "/envelope/traceparent", "schema.format"),
    ],
)
def test_what_is_said_about_an_event_is_checked(portal: Portal, about: dict[str, object], path: str, rule: str) -> None:
    with pytest.raises(EventRefused) as caught:
        portal.publish(feedback(1), **about)  # type: ignore[arg-type]
    assert (caught.value.findings[0].path, caught.value.rule) == (path, rule)


def test_only_payloads_can_be_published(portal: Portal) -> None:
    with pytest.raises(TypeError, match="FeedbackReceived"):
        portal.publish("hello")  # type: ignore[arg-type]


def test_a_retry_with_the_same_id_gets_the_first_receipt(portal: Portal) -> None:
    said, event_id = feedback(1), new_event_id()
    first = portal.publish(said, event_id=event_id)
    portal.publish(feedback(2))
    assert portal.publish(said, event_id=event_id) == first
    assert len(stored(portal)) == 2


def test_an_id_is_not_used_for_something_else(portal: Portal) -> None:
    first = portal.publish(feedback(1))
    with pytest.raises(EventRefused, match=r"event\.id-reused"):
        portal.publish(feedback(2), event_id=first.event_id)
    assert len(stored(portal)) == 1


def test_a_batch_is_stored_whole_or_not_at_all(portal: Portal) -> None:
    bad = directive(2).model_copy(update={"body": " "})
    with pytest.raises(EventRefused, match=r"directive\.body-empty") as caught:
        portal.publish_many([directive(1), bad, directive(3)])
    assert caught.value.__notes__ == ["event 1 of the batch; none of it was stored"]
    assert stored(portal) == []
    assert portal.publish_many([]) == []


def test_a_full_outbox_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False, bounds=Bounds(rows=3))
    portal.publish_many([feedback(1), feedback(2)])
    with pytest.raises(OutboxFull, match="3 undelivered events"):
        portal.publish_many([feedback(3), feedback(4)])
    portal.publish(feedback(3))
    with pytest.raises(OutboxFull):
        portal.publish(feedback(4))
    assert [row.sequence for row in stored(portal)] == [1, 2, 3]
    assert portal.status().fill == 1.0


def test_the_outbox_is_bounded_in_bytes(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False, bounds=Bounds(bytes=2_000))
    with pytest.raises(OutboxFull, match="2000"):
        portal.publish_many(feedback(number) for number in range(20))
    assert stored(portal) == []


def test_some_of_the_disk_is_left_free(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False, bounds=Bounds(free_disk=2**60))
    with pytest.raises(OutboxFull, match="Free some space"):
        portal.publish(feedback(1))


def test_json_is_published_and_checked_like_a_model(portal: Portal) -> None:
    portal.publish_json("FeedbackReceived", feedback(1).model_dump(mode="json"), {"correlation_id": "7"})
    with pytest.raises(EventRefused) as caught:
        portal.publish_json("FeedbackReceived", {"case_id": 5, "colour": "red"})
    rules = {finding.path: finding.rule for finding in caught.value.findings}
    assert rules["/colour"] == "schema.field-unknown"
    assert rules["/subject"] == "schema.field-missing"
    with pytest.raises(EventRefused, match="FeedbackResolved"):
        portal.publish_json("FeedbackLost", {})


def test_a_cloudevent_becomes_the_event_it_describes(portal: Portal) -> None:
    receipt = portal.publish_cloudevent(CLOUDEVENT)
    envelope = decoded(stored(portal)[0]).envelope
    assert receipt.event_id == envelope.id == CLOUDEVENT["id"]
    assert envelope.occurred_at == datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
    assert envelope.correlation_id == "phản ánh 7"


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        ({"specversion": "0.3"}, "/specversion", "schema.value-not-allowed"),
        ({"id": None}, "/id", "schema.field-missing"),
        ({"type": "portalbus.events.Rumour"}, "/type", "schema.value-not-allowed"),
        ({"time": "yesterday"}, "/time", "schema.format"),
        ({"time": "2026-11-20T09:15:00"}, "/time", "schema.time-without-zone"),
        ({"data": "text"}, "/data", "schema.value"),
        ({"type": 7}, "/type", "schema.value"),
        ({"source": "/H29/www"}, "/source", "lane.agency-mismatch"),
    ],
)
def test_a_wrong_cloudevent_is_refused_with_its_place(
    portal: Portal, change: dict[str, object], path: str, rule: str
) -> None:
    with pytest.raises(EventRefused) as caught:
        portal.publish_cloudevent({**CLOUDEVENT, **change})
    assert (caught.value.findings[0].path, caught.value.rule) == (path, rule)


def test_a_cloudevent_gives_payload_and_arguments_of_publish(portal: Portal) -> None:
    payload, about = from_cloudevent(CLOUDEVENT)
    assert portal.publish(payload, **about).event_id == CLOUDEVENT["id"]


def test_the_outbox_can_be_read_by_its_owner_alone(portal: Portal, tmp_path: Path) -> None:
    portal.publish(feedback(1))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_closed_portal_says_so(portal: Portal) -> None:
    portal.publish(feedback(1))
    portal.close()
    with pytest.raises(PortalClosed):
        portal.publish(feedback(2))


def test_revisions_are_made_by_copying(portal: Portal) -> None:
    first = directive(9)
    portal.publish(first)
    receipt = portal.publish(first.model_copy(update={"version": 2, "action": DirectiveAction.REVISE}))
    assert receipt.sequence == 2
