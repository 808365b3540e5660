"""A Kafka with TLS, logins and rights: every process of the bus gets in, and the rights generated for it suffice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from portal_events import feedback
from portalbus.connectors.gateway.readiness import Readiness
from portalbus.connectors.gateway.settings import Settings
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.producers.subscription import Subscription
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.casework.assigning import Speaker
from secured_kafka import SecuredKafka, variables
from whole_bus import Bus

AGENCY = "H17"


@pytest.fixture
def bus(secured: SecuredKafka, endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """The topics are made by who may do everything; the commands are those of an operator who may only read."""
    for name, value in variables(secured.login("operator")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PORTALBUS_BOOTSTRAP", secured.bootstrap)
    monkeypatch.setenv("PORTALBUS_REGISTRY", endpoints.registry_url)
    secured.allow_as_on_kubernetes(AGENCY)
    agencies = [AGENCY, GOVERNMENT_PORTAL]
    assert run(["topics", "apply", *(word for agency in agencies for word in ("--agency", agency))]) == 0
    made = Bus(replace(endpoints, bootstrap=secured.bootstrap), tmp_path, agencies, group="portalbus-streams")
    made.open_ledger()
    monkeypatch.setenv("PORTALBUS_DATABASE", made.database_url)
    for name, value in variables(secured.login("centre-operator")).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def test_an_event_goes_all_the_way(
    bus: Bus, secured: SecuredKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certified = variables(secured.certificate("centre-worker"))
    worker = bus.start_worker(**{**certified, "PORTALBUS_BOOTSTRAP": secured.by_certificate})
    relay = bus.start_relay(**variables(secured.login("centre-relay")))
    casework = bus.start_casework(**variables(secured.login("centre-casework")))
    warning = bus.start_warning(**variables(secured.login("centre-warning")))

    kafka, registry, login = secured.bootstrap, bus.endpoints.registry_url, secured.login("agency-h17")
    outbox = tmp_path / "outbox"
    with Portal(AGENCY, bootstrap=kafka, registry_url=registry, outbox=outbox, verdicts=True, kafka=login) as portal:
        receipt = portal.publish(feedback(1, agency=AGENCY))
        verdict = portal.wait_for_verdict(receipt.event_id, 60)
        assert verdict is not None, portal.status().last_error or worker.text() + relay.text()
        assert verdict.status is VerdictStatus.ACCEPTED

    speaker = Speaker(kafka, registry, outbox, kafka=secured.login("centre-console"))
    with speaker.voice() as centre:
        receipt_of_centre = centre.publish(feedback(1, agency=GOVERNMENT_PORTAL))
        assert centre.wait_for_verdict(receipt_of_centre.event_id, 60), centre.status().last_error or worker.text()

    with Subscription(tmp_path / "place", bootstrap=kafka, registry_url=registry, kafka=login) as subscription:
        # Other tests spoke on this broker before.
        assert any(event.envelope.id == receipt.event_id for event in subscription.events(wait=30))

    bus.wait_until(lambda: casework.said("scout.lanes"), "the scout has found the lanes")
    bus.wait_until(lambda: _reads(secured, "portalbus-warning"), "early warning has its topics")
    assert warning.process.poll() is None
    settings = Settings(kafka, registry, tmp_path, kafka=login)
    assert asyncio.run(Readiness(settings).trouble()) == ""

    capsys.readouterr()
    for command in (
        ["topics", "plan", "--agency", AGENCY],
        ["tail", f"lane.{AGENCY}", "--from-beginning", "--until-end"],
        ["schemas", "usage", "--agency", AGENCY],
        ["trace", str(receipt.event_id)],
        ["rebuild"],
    ):
        assert run(command) == 0, (command, capsys.readouterr())
    said = capsys.readouterr()
    logs = "".join(one.text() for one in bus.processes)
    assert not any(f"{name}-password" in said.out + said.err + logs for name in ("centre", "operator", "agency-h17"))


def _reads(secured: SecuredKafka, group: str) -> bool:
    admin = secured.admin()
    described = admin.describe_consumer_groups([group])[group].result(10)
    return any(member.assignment.topic_partitions for member in described.members)


def test_a_worker_that_cannot_do_what_it_is_told_says_which_variable(bus: Bus) -> None:
    worker = bus.start_worker(PORTALBUS_KAFKA_SASL_MECHANISM="OAUTHBEARER")
    assert worker.process.wait(30) == 2
    assert "PORTALBUS_KAFKA_SASL_MECHANISM must be one of PLAIN, SCRAM-SHA-256" in worker.text()
