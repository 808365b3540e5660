"""Apicurio Registry, spoken to through its Confluent-compatible API, with its data in our PostgreSQL."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from portalbus.infra.stack.java import java
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import LOOPBACK
from portalbus.infra.stack.postgres import Postgres
from portalbus.infra.stack.process import Command, Service
from portalbus.infra.stack.quick_start import QuickStart

HEAP_MB = (48, 192)
API = "/apis/ccompat/v7"
DATABASE = "registry"

SETTINGS = {
    "quarkus.http.host": LOOPBACK,
    "quarkus.http.io-threads": "2",
    "quarkus.http.access-log.enabled": "false",
    "quarkus.thread-pool.max-threads": "12",
    # Health and metrics; the default is a fixed port on every address.
    "quarkus.management.host": LOOPBACK,
    'quarkus.log.category."io.apicurio".level': "WARN",
    "apicurio.storage.sql.kind": "postgresql",
    # The default is 20 open connections at rest, of a server that allows 100.
    "apicurio.datasource.jdbc.initial-size": "1",
    "apicurio.datasource.jdbc.min-size": "1",
    "apicurio.datasource.jdbc.max-size": "8",
    # Else the first request after a restart of PostgreSQL meets a dead connection and is answered with 500.
    "quarkus.datasource.postgresql.jdbc.validate-on-borrow": "true",
}


def answers(url: str) -> bool:
    """Ask the registry for its subjects, for two seconds at most."""
    # Without the proxies of the environment: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/subjects", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


class Registry(Service):
    """The schema registry; `jars` gives its files, and is asked only when the JVM is about to start."""

    name = "Apicurio Registry"
    dump_signal = signal.SIGQUIT
    stop_patience_s = 30.0  # once on a machine it takes some seconds to write down what it has loaded

    def __init__(
        self,
        state: StateFolder,
        port: int,
        management_port: int,
        postgres: Postgres,
        jars: Callable[[], list[Path]],
        quick_start: QuickStart,
    ) -> None:
        super().__init__(state.logs / "registry.log", state.run / "registry.pid")
        self.port = port
        self.management_port = management_port
        self.ports = (port, management_port)
        self._run = state.run
        self._scratch = state.scratch
        self._postgres = postgres
        self._jars = jars
        self._quick_start = quick_start

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{API}"

    def command(self) -> Command:
        jars = self._jars()
        program = ("-jar", str(next(path for path in jars if path.name == "quarkus-run.jar")))
        self._scratch.mkdir(exist_ok=True)
        settings = {
            **SETTINGS,
            "quarkus.http.port": str(self.port),
            "quarkus.management.port": str(self.management_port),
            "portalbus.run": str(self._run),  # tells this process from any other registry on the machine
        }
        options = (f"-D{name}={value}" for name, value in settings.items())
        quick = self._quick_start.options(program, jars)
        argv = (*java(HEAP_MB, self._scratch), *quick, *options, *program)
        environment = {
            "APICURIO_DATASOURCE_URL": self._postgres.jdbc_url(DATABASE),
            "APICURIO_DATASOURCE_USERNAME": DATABASE,
            "APICURIO_DATASOURCE_PASSWORD": self._postgres.password(DATABASE),
        }
        return Command(argv, marker=str(self._run), environment=environment)

    def is_ready(self) -> bool:
        return answers(self.url)
