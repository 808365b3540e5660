"""Trace ids follow from event ids; without an endpoint nothing of OpenTelemetry is even imported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from otlp_collector import OtlpCollector
from portalbus.producers import Portal
from portalbus.producers.testing import a_directive
from portalbus.schemas.tracing import JUDGE, PUBLISH, open_spans, span_id, trace_id, traceparent
from portalbus.streams.logging_setup import log_json
from portalbus.streams.spans import _sound

EVENT = "0192f0c1-7e3a-7c55-9f10-3c1f5b3f0a01"
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_of_an_event_is_its_id_and_every_step_has_a_span_of_its_own() -> None:
    assert trace_id(EVENT) == "0192f0c17e3a7c559f103c1f5b3f0a01"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent(EVENT))
    assert traceparent(EVENT) == f"00-{trace_id(EVENT)}-{span_id(EVENT, PUBLISH)}-01"
    assert span_id(EVENT, PUBLISH) != span_id(EVENT, JUDGE)


def test_without_an_endpoint_there_are_no_spans_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert open_spans("worker") is None
    code = (
        "import sys, portalbus.producers.delivery, portalbus.streams.worker, portalbus.streams.relay;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={}).returncode == 0


@pytest.mark.parametrize("said", [None, "", "00-0-0-00", GIVEN.upper(), GIVEN + "-x", GIVEN.replace("4", "x"),
                                  "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])  # fmt: skip
def test_a_header_that_is_none_is_not_believed(said: str | None) -> None:
    assert _sound(said) is None
    assert _sound(GIVEN) == GIVEN


def test_a_portal_sends_a_span_when_the_broker_has_the_event(
    portalbus_portal: Portal, published_events: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with OtlpCollector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        with Portal.from_env() as portal:
            first = portal.publish(a_directive(title="Một tiêu đề không được rời cổng"))
            second = portal.publish(a_directive(directive_id="ct-2"), traceparent=GIVEN)
            assert portal.flush(10)
        one, other = published_events(at_least=2)
        assert one.headers["traceparent"] == traceparent(first.event_id)
        assert other.headers["traceparent"] == GIVEN
        (span,) = collector.spans(trace_id(first.event_id))
        (linked,) = collector.spans(trace_id(second.event_id))
        assert (span.service, span.name, span.parent) == ("portalbus-portal", "publish DirectivePublished", "")
        assert span.began_ns <= span.ended_ns
        assert (span.links, linked.links) == ((), (GIVEN.split("-")[1],))
        assert "tiêu đề" not in collector.everything()


def test_a_log_line_about_an_event_names_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    log_json("test")
    structlog.get_logger("x").info("x.y", event_id=EVENT)
    structlog.contextvars.clear_contextvars()
    assert f'"trace_id": "{trace_id(EVENT)}"' in capsys.readouterr().err
