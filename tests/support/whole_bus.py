"""A bus for one test: fresh topics on a real Kafka, a fresh ledger, and the real worker and relay as processes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.stack import Endpoints
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import CANONICAL, RELAY_POSITION, contracts, lane_of, verdicts_of
from portalbus.streams.ledger.database import migrate
from portalbus.streams.ledger.ledger import Ledger
from portalbus_command import COMMAND
from scratch_databases import create_database, drop_database

SESSION_TIMEOUT_S = 6
"""The broker's minimum."""

OURS = ("lane.", "verdict.", "central.")


@dataclass
class Running:
    """One process of the bus, with its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace")

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log lines with this event name."""
        lines = [line for line in self.text().splitlines() if f'"{event}"' in line and line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, within: float = 30) -> int:
        """Ends it in an orderly way; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@dataclass
class Bus:
    """Topics, ledger and processes of one test."""

    endpoints: Endpoints
    folder: Path
    agencies: Sequence[str]
    database_url: str = ""
    schema_ids: dict[str, int] = field(default_factory=dict)
    group: str = field(default_factory=lambda: f"workers-{secrets.token_hex(4)}")
    processes: list[Running] = field(default_factory=list)

    def open(self) -> Bus:
        """Makes everything fresh; what an earlier test left on the broker is deleted."""
        self.fresh_topics()
        return self.open_ledger()

    def open_ledger(self) -> Bus:
        """Makes a fresh ledger beside the topics that are there."""
        name = f"bus_{secrets.token_hex(4)}"
        with psycopg.connect(self.endpoints.database_url, autocommit=True) as connection:
            create_database(connection, name)
        self.database_url = urlunsplit(urlsplit(self.endpoints.database_url)._replace(path=f"/{name}"))
        migrate(self.database_url)
        self.schema_ids = register_all(SchemaRegistry(self.endpoints.registry_url))
        self.look = psycopg.connect(self.database_url, autocommit=True)
        self.producer = Producer(
            librdkafka_settings(self.endpoints.bootstrap) | {"enable.idempotence": True, "message.max.bytes": 2_000_000}
        )
        return self

    def fresh_topics(self) -> None:
        """Makes the topics of these agencies, empty; every other one of the bus on this broker is deleted."""
        admin = AdminClient(librdkafka_settings(self.endpoints.bootstrap))
        old = [name for name in admin.list_topics(timeout=30).topics if name.startswith(OURS)]
        wanted = {name: contract for contract in contracts() for name in self._names(contract)}
        self._make_anew(admin, old, wanted)

    def close(self) -> None:
        """Ends what still runs, and drops the ledger."""
        for running in self.processes:
            with suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGCONT)
                running.kill()
        self.look.close()
        with psycopg.connect(self.endpoints.database_url, autocommit=True) as connection:
            name = urlsplit(self.database_url).path[1:]
            drop_database(connection, name)

    @property
    def addresses(self) -> Addresses:
        """Where its parts are."""
        return Addresses(self.endpoints.bootstrap, self.endpoints.registry_url, self.database_url)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that is to find this bus."""
        return {
            **os.environ,
            "PORTALBUS_BOOTSTRAP": self.endpoints.bootstrap,
            "PORTALBUS_REGISTRY": self.endpoints.registry_url,
            "PORTALBUS_DATABASE": self.database_url,
        }

    def command(self, *arguments: str, within: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs `portalbus` with these arguments against this bus, to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def start_worker(self, **environment: str) -> Running:
        """Starts a worker; the keys of `environment` are added to its environment."""
        options = ["--group", self.group, "--session-timeout", str(SESSION_TIMEOUT_S)]
        return self._start("worker", options, environment)

    def start_relay(self, **environment: str) -> Running:
        """Starts a relay."""
        return self._start("relay", [], environment)

    def start_casework(self, **environment: str) -> Running:
        """Starts the law's clock and the scout of urgent cases."""
        return self._start("casework_process", [], environment)

    def start_warning(self, **environment: str) -> Running:
        """Starts early warning."""
        return self._start("warning_process", [], environment)

    def lanes_of(self, worker: Running) -> int:
        """How many lanes a worker reads now."""
        found = worker.said("edge.positioned")
        return int(found[-1]["lanes"]) if found else 0

    def publish(self, agency: str, values: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Puts records (key, value) on a lane and waits until the broker has them."""
        self.publish_records(agency, ((key, value, ()) for key, value in values))

    def publish_records(
        self, agency: str, records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Puts records (key, value, headers) on a lane and waits until the broker has them."""
        for key, value, headers in records:
            self.producer.produce(lane_of(agency), value, key, headers=[*headers])
            self.producer.poll(0)
        assert self.producer.flush(60) == 0

    def next_offset(self, agency: str) -> int:
        """How far the ledger is with a lane."""
        row = self.look.execute("select next_offset from ledger.lane where agency = %s", (agency,)).fetchone()
        return int(row[0]) if row else 0

    def position(self) -> int:
        """The last position of the ledger."""
        row = self.look.execute("select next - 1 from ledger.position").fetchone()
        assert row is not None
        return int(row[0])

    def wait_until(self, holds: Callable[[], Any], what: str, within: float = 60) -> float:
        """Polls until something holds; returns how many seconds that took."""
        start = time.monotonic()
        while not holds():
            if time.monotonic() - start > within:
                logs = "\n".join(f"--- {running.name}\n{running.text()[-3_000:]}" for running in self.processes[-4:])
                raise AssertionError(f"{what}: not within {within:g} s\n{logs}")
            time.sleep(0.02)
        return time.monotonic() - start

    def _start(self, name: str, options: Sequence[str], environment: Mapping[str, str]) -> Running:
        log = self.folder / f"{len(self.processes)}-{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", f"portalbus.streams.{name}", *options],
                env={
                    **self.environment,
                    "PORTALBUS_SCHEMA_CACHE": str(self.folder / "schema-ids.json"),
                    **environment,
                },
                stdout=out,
                stderr=out,
            )
        self.processes.append(Running(log.stem, process, log))
        return self.processes[-1]

    def make_anew(self, topic: str) -> None:
        """Deletes one topic and makes it again, empty."""
        contract = next(contract for contract in contracts() if topic in self._names(contract))
        self._make_anew(AdminClient(librdkafka_settings(self.endpoints.bootstrap)), [topic], {topic: contract})

    def _make_anew(self, admin: AdminClient, old: Sequence[str], wanted: Mapping[str, Any]) -> None:
        for deleted in admin.delete_topics(list(old), operation_timeout=30).values() if old else ():
            deleted.result(30)
        new = [
            NewTopic(name, contract.partitions, 1, config=dict(contract.config)) for name, contract in wanted.items()
        ]
        deadline = time.monotonic() + 30
        while new:  # a name may be taken for a moment after its topic was deleted
            refused = []
            for name, made in admin.create_topics(new).items():
                try:
                    made.result(30)
                except KafkaException:
                    refused.append(name)
            assert time.monotonic() < deadline, f"cannot make {refused}"
            new = [topic for topic in new if topic.topic in refused]
        while unseen := wanted.keys() - _shown(admin):
            assert time.monotonic() < deadline, f"the broker does not show {sorted(unseen)}"

    def _names(self, contract: Any) -> list[str]:
        return [contract.name_for(agency) for agency in self.agencies] if contract.per_agency else [contract.name]


def _shown(admin: AdminClient) -> set[str]:
    return {name for name, topic in admin.list_topics(timeout=30).topics.items() if topic.partitions}


def outgoing_topics(agencies: Iterable[str]) -> list[str]:
    """Every topic that the relay writes to, but its own."""
    return [*CANONICAL.values(), *(verdicts_of(agency) for agency in agencies)]


__all__ = ["RELAY_POSITION", "SESSION_TIMEOUT_S", "Bus", "Ledger", "Running", "outgoing_topics"]
