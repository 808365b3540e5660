"""The processes of the bus beside the stack: how each is started, and when it is ready."""

from __future__ import annotations

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from portalbus.infra.bus.addresses import VARIABLES, Addresses
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.process import Command, ProcessRecord, Service, spawn
from portalbus.schemas.kafka_settings import PREFIX as KAFKA_PREFIX

EXIT_FAIL_STOP = 70
"""A process that cannot be sure of itself ends with this status and wants to be started again."""

EXIT_PARKING_STOPPED = 78
"""A worker that would have to park too much ends with this status; it may try again, and has lost nothing."""


NAMES = ("relay", "casework", "warning", "central", "webhooks", "gateway")
"""What runs beside the workers."""
GATEWAY_FOLDER = "gateway"
"""The gateway's own folder, in the state folder of the bus."""
OUTBOX_FOLDER = "outbox"
"""Where the console keeps what it says for the centre: the folder of `portalbus publish` and `cases assign`."""


class BusProcess(Service):
    """A worker, the relay, a portal or a gateway: a Python module run with flags that say where the stack is."""

    stop_patience_s = 30.0
    start_patience_s = 90.0

    def __init__(
        self,
        name: str,
        state: StateFolder,
        argv: tuple[str, ...],
        ready: Callable[[BusProcess], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(state.logs / f"{name}.log", state.run / f"{name}.pid")
        self.name = name
        self._argv = argv
        self._environment = environment or {}
        self._ready = ready
        self.log_start = 0

    def command(self) -> Command:
        """The module, with the settings of this process's environment that are ours; the local broker has no login."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("PORTALBUS_") and not name.startswith(KAFKA_PREFIX)
        }
        environment = {**ours, **self._environment, "PYTHONUNBUFFERED": "1"}
        argv = (sys.executable, "-m", *self._argv)
        return Command(argv, marker=self._argv[0], environment=environment, death_signal=signal.SIGTERM)

    def is_ready(self) -> bool:
        """Ask what it serves, or whom it has greeted."""
        return self._ready(self)

    def prepare(self) -> None:
        """Note where its log begins this time."""
        self.log_start = self.log.stat().st_size if self.log.exists() else 0

    def respawn(self) -> None:
        """Start it anew without waiting until it is ready."""
        command = self.command()
        self._popen = spawn(command, self.log)
        try:
            ProcessRecord.of(self._popen.pid, command.marker).write(self.pid_file)
        except psutil.NoSuchProcess:
            return  # ended at once: the next look at it finds the status

    def ended_with(self) -> int | None:
        """Exit status once it has ended, else None."""
        return self._popen.poll() if self._popen is not None else None


def bus_processes(state: StateFolder, addresses: Addresses, workers: int) -> list[BusProcess]:
    """Every process of the bus, each to be started on its own."""
    cache = str(state.run / "schema-ids.json")
    where = ("--bootstrap", addresses.bootstrap, "--registry-url", addresses.registry_url, "--cache", cache)
    # The database's password goes into the environment: everybody can read the flags of a process.
    secret = {VARIABLES["database_url"]: addresses.database_url}
    found = [
        BusProcess(
            f"worker-{number}",
            state,
            ("portalbus.streams.worker", *where),
            lambda process: has_said(process.log, "worker.started", process.log_start),
            secret,
        )
        for number in range(1, workers + 1)
    ]
    relay = ("portalbus.streams.relay", *where)
    found.append(BusProcess("relay", state, relay, lambda _: is_connected(addresses.database_url, "relay"), secret))
    casework = ("portalbus.streams.casework_process", *where)
    found.append(
        BusProcess("casework", state, casework, lambda _: is_connected(addresses.database_url, "casework"), secret)
    )
    warning = ("portalbus.streams.warning_process", *where)
    found.append(
        BusProcess("warning", state, warning, lambda _: is_connected(addresses.database_url, "warning"), secret)
    )
    central = (
        *("portalbus.connectors.central", "--port", str(urlsplit(addresses.central_url).port)),
        *("--outbox", str(state.root / OUTBOX_FOLDER)),
    )
    # The console judges parked records again and reconciles: for that it needs what a worker needs.
    desk = {**secret, VARIABLES["registry_url"]: addresses.registry_url, VARIABLES["bootstrap"]: addresses.bootstrap}
    found.append(BusProcess("central", state, central, lambda _: answers(addresses.central_url + "/healthz"), desk))
    found.append(_webhooks(state, addresses, secret))
    found.append(_gateway(state, addresses))
    return found


def _webhooks(state: StateFolder, addresses: Addresses, secret: Mapping[str, str]) -> BusProcess:
    argv = ("portalbus.connectors.push", "--bootstrap", addresses.bootstrap, "--registry-url", addresses.registry_url)
    return BusProcess(
        "webhooks", state, argv, lambda process: has_said(process.log, "webhooks.started", process.log_start), secret
    )


def _gateway(state: StateFolder, addresses: Addresses) -> BusProcess:
    # The folder is that of `portalbus gateway`: a key that is made there works here at once.
    argv = (
        *("portalbus.connectors.gateway", "--port", str(urlsplit(addresses.gateway_url).port)),
        *("--bootstrap", addresses.bootstrap, "--registry-url", addresses.registry_url),
        *("--state", str(state.root / GATEWAY_FOLDER)),
    )
    return BusProcess("gateway", state, argv, lambda _: answers(addresses.gateway_url + "/healthz"))


def answers(url: str) -> bool:
    """True when an HTTP server gives a good answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def is_connected(database_url: str, application: str) -> bool:
    """True when a process of the bus with this name has a connection to the ledger."""
    import psycopg

    try:
        with psycopg.connect(database_url, connect_timeout=2, autocommit=True) as connection:
            row = connection.execute(
                "select 1 from pg_stat_activity where application_name = %s limit 1", (f"portalbus-{application}",)
            ).fetchone()
            return row is not None
    except psycopg.Error:
        return False


def has_said(log: Path, event: str, since: int) -> bool:
    """True when a process has logged an event (a dotted name) after this place in its log."""
    try:
        with log.open("rb") as lines:
            lines.seek(since)
            return f'"event": "{event}"'.encode() in lines.read()
    except FileNotFoundError:
        return False


def sweep(state: StateFolder) -> None:
    """End what a killed bus may have left of its processes, found by their pid files."""
    for pid_file in sorted(state.run.glob("*.pid")) if state.run.exists() else []:
        if is_bus_process(pid_file):
            BusProcess(pid_file.stem, state, ("",), lambda _: False).stop()


def is_bus_process(pid_file: Path) -> bool:
    """Tell the pid files of the bus from those of the stack."""
    return pid_file.stem in NAMES or pid_file.stem.startswith("worker-")
