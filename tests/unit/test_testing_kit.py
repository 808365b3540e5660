"""The kit for portals' own tests: the real SDK, on a broker and a registry inside the process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from portalbus.producers import EventRefused, Portal, VerdictStatus
from portalbus.producers.lane_writer import LaneWriter
from portalbus.producers.testing import InProcessBus, a_directive, a_feedback, a_withdrawal, an_answer
from portalbus.schemas.errors import RegistryRefused
from portalbus.schemas.models import Payload
from portalbus.schemas.registry import SchemaRegistry

pytest_plugins = ("pytester",)


def test_what_a_portal_publishes_can_be_read_back_in_its_order(portalbus_bus: InProcessBus, tmp_path: Path) -> None:
    portal = portalbus_bus.portal(tmp_path)
    case = a_feedback()
    said: list[Payload] = [a_directive(), case, an_answer(case), a_directive(title="Chỉ thị khác")]
    receipts = portal.publish_many(said)
    found = portalbus_bus.published(at_least=4)
    assert [event.payload for event in found] == said
    assert [event.sequence for event in found] == [receipt.sequence for receipt in receipts] == [1, 2, 3, 4]
    assert [event.envelope.id for event in found] == [receipt.event_id for receipt in receipts]
    assert found[0].headers["ce_type"] == "portalbus.events.DirectivePublished"
    assert found[1].key == case.case_id


def test_its_broker_has_no_clock_and_the_portals_is_not_held_against_it(
    portalbus_bus: InProcessBus, tmp_path: Path
) -> None:
    stamps: list[int] = []
    portal = portalbus_bus.portal(tmp_path)
    writer = LaneWriter(portal.settings, "lane.H26", lambda error: pytest.fail(str(error)), stamps.append)
    answers: list[object] = []
    writer.send(b"key", b"value", [], answers.append)
    writer.drain(10)
    writer.close()
    assert answers == [None]
    assert stamps == []


def test_the_centres_answer_reaches_the_portal(portalbus_portal: Portal, portalbus_bus: InProcessBus) -> None:
    portalbus_portal.publish(a_feedback())
    (event,) = portalbus_bus.published(at_least=1)
    portalbus_bus.decide(event, VerdictStatus.REJECTED, "case.already-received", "/payload/case_id")
    verdict = portalbus_portal.wait_for_verdict(event.envelope.id, timeout=10)
    assert verdict is not None
    assert (verdict.status, verdict.rule) == (VerdictStatus.REJECTED, "case.already-received")
    assert verdict.message.vi


def test_it_refuses_what_the_real_one_refuses(portalbus_bus: InProcessBus, tmp_path: Path) -> None:
    portal = portalbus_bus.portal(tmp_path, agency="H29")
    with pytest.raises(EventRefused, match=r"directive\.type-unknown"):
        portal.publish(a_directive("H29", document_type="ZZ"))
    with pytest.raises(ValidationError):
        a_directive(no_such_field=1)
    assert portalbus_bus.published("H29") == []
    with pytest.raises(KeyError):
        portal.publish(a_directive("H29"))
        portalbus_bus.decide(portalbus_bus.published("H29", at_least=1)[0], rule="no.such-rule")


def test_a_refusal_needs_a_rule_and_a_withdrawal_follows_its_directive(
    portalbus_portal: Portal, portalbus_bus: InProcessBus
) -> None:
    directive = a_directive()
    portalbus_portal.publish_many([directive, a_withdrawal(directive)])
    first, second = portalbus_bus.published()
    assert (first.key, second.payload.event_type) == (second.key, "DirectivePublished")
    with pytest.raises(ValueError, match="REJECTED needs a rule"):
        portalbus_bus.decide(first, VerdictStatus.REJECTED)
    portalbus_bus.decide(first)


def test_a_login_for_the_real_bus_stays_outside(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PORTALBUS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    request.getfixturevalue("portalbus_portal")
    assert Portal.from_env().settings.kafka == {}


def test_who_waits_for_what_never_comes_is_told(portalbus_bus: InProcessBus) -> None:
    with pytest.raises(TimeoutError, match=r"0 events on lane\.H26 within 0\.1 s, not 1"):
        portalbus_bus.published(at_least=1, within=0.1)


def test_the_registry_knows_the_contracts_and_nothing_else(portalbus_bus: InProcessBus) -> None:
    registry = SchemaRegistry(portalbus_bus.registry_url)
    assert "portalbus.events.DirectivePublished" in registry.subjects()
    with pytest.raises(RegistryRefused, match="none of the contracts"):
        registry.lookup("portalbus.events.DirectivePublished", '"string"')
    with pytest.raises(RegistryRefused, match="schema not found"):
        registry.schema(999)


def test_the_page_and_the_plugin_serve_a_project_that_only_installed_the_sdk(pytester: pytest.Pytester) -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "testing-a-portal.md"
    (code,) = re.findall(r"^```python\n# file: test_my_portal\.py\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    pytester.makepyfile(
        test_my_portal=code,
        test_mine="""
        from portalbus.producers import Portal
        from portalbus.producers.testing import a_directive


        def test_each_test_has_a_bus_of_its_own(portalbus_portal, published_events):
            assert published_events() == []
            with Portal.from_env() as mine:
                mine.publish(a_directive())
            assert len(published_events(at_least=1)) == 1
        """,
    )
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_the_plugin_imports_nothing_before_a_test_asks() -> None:
    code = "import sys, portalbus.producers.pytest_plugin; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
