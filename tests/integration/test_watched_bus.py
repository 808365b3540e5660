"""A whole bus that is watched: no log line and no span says anything of a person, and every process has its figures."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from bus_events import answer, directive, envelope, misshapen_value, receipt, value_of
from central_process import CentralProcess, free_port
from gateway_process import STRUCTURED, GatewayProcess, cloud_event, post
from local_site import LocalSite, notice, rss
from otlp_collector import OtlpCollector
from personal_canaries import Person
from portalbus.connectors.push.signing import new_secret
from portalbus.connectors.push.subscriptions import add_subscription, open_desk
from portalbus.connectors.push.wanted import Wanted
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event, Payload
from portalbus.streams.ledger.alerts import Concern, raise_alert
from portalbus.streams.metrics.defined import Kind, Process, metrics_of
from portalbus.streams.metrics.measuring import PORT_VARIABLE
from prometheus_server import prometheus
from pulled_portal import written
from webhook_receiver import Receiver
from whole_bus import Bus, Running

AGENCIES = ("H26", "G22")
PERSON = Person.made_up(20261120)
PORTS = {process: free_port() for process in Process}
IMPATIENT = ("--first-pause", "0.05", "--longest-pause", "0.2", "--give-up-after", "0.0001")
EXPECTED = {
    "worker": "worker.started",
    "webhooks": "webhook.failed",
    "alerting": "alerting.started",
    "pull": "connect.published",
}
"""What a log must say, so that it is the log of a process that was at work."""


@dataclass
class Watched:
    """A bus with all its processes, what they send their spans to, and the port of each one's figures."""

    bus: Bus
    collector: OtlpCollector
    central: CentralProcess
    gateway: GatewayProcess
    sequences: dict[str, int] = field(default_factory=dict)

    def logs(self) -> dict[str, bytes]:
        """Everything each process has logged."""
        found = {running.name: running.log.read_bytes() for running in self.bus.processes}
        return found | {"central": self.central.log.read_bytes(), "gateway": self.gateway.log.read_bytes()}

    def value(self, payload: Payload, portal: str = "www", skip: int = 0, **wrong: Any) -> tuple[bytes, bytes]:
        """The next event of a portal of H26, as key and value of its record; `wrong` are fields that break a rule."""
        number = self.sequences[portal] = self.sequences.get(portal, 0) + 1 + skip
        head = envelope(len(portal) * 10_000 + number, "H26", number, portal=portal)
        event = Event(head, payload)
        ids = self.bus.schema_ids
        value = misshapen_value(head, payload, ids, **wrong) if wrong else value_of(event, ids)
        return event.key.encode(), value

    def statuses(self) -> set[str]:
        """The verdicts that were given."""
        return {status for (status,) in self.bus.look.execute("select distinct status from ledger.judgement")}


def port_of(process: Process) -> dict[str, str]:
    """What tells a process where to serve its figures."""
    return {PORT_VARIABLE: str(PORTS[process])}


def start(bus: Bus, process: Process, *argv: str, **environment: str) -> None:
    """Starts a process of the connectors."""
    log = bus.folder / f"{process.value}.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env={
                **bus.environment,
                **port_of(process),
                **environment,
            },
            stdout=out,
            stderr=out,
        )
    bus.processes.append(Running(process.value, running, log))


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpCollector]:
    with OtlpCollector() as collector, pytest.MonkeyPatch.context() as patch:
        for name, value in collector.environment.items():
            patch.setenv(name, value)
        yield collector


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("watched"), AGENCIES).open()
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def gateway(bus: Bus, collector: OtlpCollector) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(bus.endpoints, bus.folder, "--metrics-port", str(PORTS[Process.GATEWAY])).start()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def central(bus: Bus) -> Iterator[CentralProcess]:
    where = ("--bootstrap", bus.endpoints.bootstrap, "--registry-url", bus.endpoints.registry_url)
    central = CentralProcess(
        bus.database_url, bus.folder / "central.log", "--metrics-port", str(PORTS[Process.CENTRAL]), *where
    )
    central.wait_until()
    yield central
    assert central.stop() == 0


@pytest.fixture(scope="module")
def watched(bus: Bus, collector: OtlpCollector, central: CentralProcess, gateway: GatewayProcess) -> Iterator[Watched]:
    """The bus after everything that can befall an event has befallen one that tells of a person."""
    bus.start_worker(**port_of(Process.WORKER))
    bus.start_relay(**port_of(Process.RELAY))
    bus.start_casework(**port_of(Process.CASEWORK))
    bus.start_warning(**port_of(Process.WARNING))
    with Receiver(refuses) as receiver, Receiver() as told, LocalSite() as site, open_desk(bus.database_url) as desk:
        wanted, secret = Wanted.of(["H26"], ()), new_secret()
        add_subscription(desk, receiver.url, wanted, secret=secret, whole=True, internal=True, created_by="test")
        start(bus, Process.WEBHOOKS, "portalbus.connectors.push", *IMPATIENT)
        config = bus.folder / "alerting.toml"
        config.write_text(f'[[webhook]]\nurl = "{told.url}"\nsecret_env = "HOOK_SECRET"\n')
        hook_secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
        alerting = ("portalbus.connectors.alerting", "--config", str(config))
        start(bus, Process.ALERTING, *alerting, HOOK_SECRET=hook_secret)
        site.put("/rss", rss([notice(site, 1, PERSON.text), notice(site, 2, PERSON.text, title=" ")]), "text/xml")
        entry = {"kind": "feed", "address": f"{site.url}/rss", "every": "1s", "portal": "keo"}
        pulling = written(bus.folder / "pulling", entry)
        start(bus, Process.PULL, "portalbus.infra.cli", "connect", "run", str(pulling))
        found = Watched(bus, collector, central, gateway)
        befall(found, receiver)
        yield found


def refuses(event: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """A receiver that fails, and quotes what it was sent."""
    return 500, {"Retry-After": PERSON.words[1], "X-Reason": PERSON.words[2]}


def befall(watched: Watched, receiver: Receiver) -> None:
    """Accepted, waiting, refused, twice, unreadable, behind a gap, not delivered: each tells of the person."""
    bus, text = watched.bus, PERSON.text
    case = receipt("H26-0001", subject=PERSON.name, content=text, pseudonym="p-1")
    value = watched.value
    first = value(case)
    records = [
        first,
        first,
        value(answer("H26-0001", answer=text)),
        value(answer("H26-0404", answer=text)),
        value(directive("d-1", title=PERSON.name, body=text)),
        value(directive("d-1", title=PERSON.address, body=text)),
        value(receipt("H26-0002", 2, content=text), language=PERSON.name),
        value(receipt("H26-0003", 3, content=text), addressed_to=PERSON.email),
        value(directive("d-2", body=text), "gap"),
        value(directive("d-3", body=text), "gap", skip=3),
        (PERSON.name.encode(), text.encode()),
        (PERSON.phone.encode(), b"\0" + text.encode()),
        (PERSON.phone.encode(), first[1][:5] + text.encode()),
    ]
    headers = [("ce_id", PERSON.email.encode()), ("traceparent", text.encode()), (PERSON.words[0], b"x")]
    bus.publish_records("H26", [(key, value, headers) for key, value in records])
    ask_gateway(watched)
    ask_central(watched)
    with psycopg.connect(bus.database_url) as connection:
        now = datetime.now(UTC)
        raise_alert(connection, Concern("source.silent", "H26", "www"), now)
        raise_alert(connection, Concern("feedback.surge", "H26", topic="field"), now)
    wanted = {"ACCEPTED", "REJECTED", "DUPLICATE", "PARKED", "WAITING"}
    bus.wait_until(lambda: watched.statuses() >= wanted, f"the verdicts {wanted}", 90)
    bus.wait_until(lambda: len(receiver.heard) > 2, "webhooks that fail")
    logs = {running.name: running for running in bus.processes}
    bus.wait_until(lambda: logs["webhooks"].said("webhook.given-up"), "a webhook that was given up")
    bus.wait_until(lambda: logs["pull"].said("connect.published"), "what was read from the site")


def ask_gateway(watched: Watched) -> None:
    """Taken, refused for what it says, refused for what it is, and not even asked for well."""
    gateway = watched.gateway
    with gateway.client(gateway.key("H26", "cong")) as client:
        taken = cloud_event(receipt("H26-0005", 5, content=PERSON.text), "/H26/cong")
        assert post(client, taken).status_code < 300
        wrong = cloud_event(receipt("H26-0006", 6, content=PERSON.text), "/H26/cong")
        wrong["data"] |= {"language": PERSON.name, PERSON.words[0]: PERSON.text}
        assert post(client, wrong).status_code >= 400
        broken = b'{"specversion": "1.0", "data": "' + PERSON.text.encode()
        headers = {"Content-Type": STRUCTURED, "User-Agent": PERSON.words[2], "traceparent": PERSON.words[1]}
        assert client.post("/v1/events", content=broken, headers=headers).status_code >= 400
        assert client.get(f"/v1/events/{PERSON.words[2]}?of={PERSON.phone}").status_code >= 400
    with gateway.client(PERSON.words[2]) as stranger:
        assert post(stranger, taken).status_code == 401


def ask_central(watched: Watched) -> None:
    """What a visitor may type: into the search, the form for codes, the login, and the address line."""
    with httpx2.Client(base_url=watched.central.address, timeout=30) as visitor:
        for path in ("/vi/search", "/vi/feedback", "/office/vi/trace", "/vi/feed.atom", "/api/v1/directives"):
            for name in ("q", "code", "id", "agency", "after"):
                visitor.get(path, params={name: PERSON.phone})
        visitor.get(f"/vi/feedback/{PERSON.phone}")
        visitor.get(f"/vi/directives/H26/{PERSON.words[0]}")
        visitor.post("/office/vi/login", data={"name": PERSON.email, "password": PERSON.text})


def test_no_log_and_no_span_tells_of_the_person(watched: Watched) -> None:
    bus = watched.bus
    bus.wait_until(
        lambda: (
            watched.collector.services() >= {f"portalbus-{name}" for name in ("worker", "relay", "gateway", "portal")}
        ),
        "the spans of everybody",
    )
    said = {running.name.lstrip("0123456789-"): running for running in bus.processes}
    for name, event in EXPECTED.items():
        assert said[name].said(event), said[name].text()
    logs = watched.logs()
    assert len(logs) == len(Process)
    assert {name: found for name, log in logs.items() if (found := PERSON.found_in(log))} == {}
    assert PERSON.found_in(watched.collector.raw()) == []


def test_the_search_finds_a_line_that_a_process_of_the_bus_had_written(watched: Watched) -> None:
    code = "import sys, structlog; from portalbus.streams.logging_setup import log_json; log_json('x');"
    code += "structlog.get_logger().warning('x.y', what=sys.argv[1])"
    log = subprocess.run([sys.executable, "-c", code, PERSON.text], capture_output=True, check=True).stderr
    assert PERSON.found_in(watched.logs()["alerting"] + log) == list(PERSON.words)


def test_prometheus_has_a_series_of_every_metric_of_every_process(watched: Watched, tmp_path: Path) -> None:
    targets = {process.value: port for process, port in PORTS.items()}
    with prometheus(tmp_path, targets, "groups: []\n") as server:
        for process in Process:
            for metric in metrics_of(process):
                series = f"{metric.series}_count" if metric.kind is Kind.HISTOGRAM else metric.series
                found = server.wait_for(f'{series}{{job="{process.value}"}}')
                assert set(metric.labels) <= set(found[0]["metric"]), series
        running = {one["metric"]["process"] for one in server.query("portalbus_process_info")}
        assert running | {"gateway"} == {process.value for process in Process}
