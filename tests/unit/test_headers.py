"""The CloudEvents headers say who, what and when, without a word of what is said."""

from __future__ import annotations

from portalbus.schemas import example_files
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import FeedbackReceived

EVENT = next(item for item in example_files.valid() if item.id == "FeedbackReceived/street-light").event()


def test_an_event_has_the_headers_of_the_kafka_binding_in_binary_mode() -> None:
    headers = cloudevents_headers(EVENT.envelope, EVENT.payload.event_type)
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", EVENT.envelope.id.encode()),
        ("ce_source", b"/H26/www"),
        ("ce_type", b"portalbus.events.FeedbackReceived"),
        ("ce_time", b"2026-11-20T02:15:00.000+00:00"),
        ("ce_sequence", b"31"),
        ("content-type", b"application/avro"),
    ]


def test_a_trace_is_passed_on_when_there_is_one() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = dict(cloudevents_headers(EVENT.envelope, EVENT.payload.event_type, trace))
    assert headers["traceparent"] == trace.encode()
    assert "traceparent" not in dict(cloudevents_headers(EVENT.envelope, EVENT.payload.event_type))


def test_no_header_holds_content() -> None:
    everything = b" ".join(value for _, value in cloudevents_headers(EVENT.envelope, EVENT.payload.event_type))
    assert isinstance(EVENT.payload, FeedbackReceived)
    assert EVENT.payload.subject.encode() not in everything
    assert EVENT.payload.public_code.encode() not in everything
