"""The whole local stack: Kafka, registry and PostgreSQL, up and down together."""

from __future__ import annotations

import atexit
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from portalbus.infra.stack import preflight
from portalbus.infra.stack.endpoints import Endpoints, write_private
from portalbus.infra.stack.errors import Cancelled, PortTaken, StackError
from portalbus.infra.stack.fetch import Downloads
from portalbus.infra.stack.jars import App, Lock
from portalbus.infra.stack.kafka import Kafka
from portalbus.infra.stack.owner import Ownership, end_owner, is_locked, owner_of
from portalbus.infra.stack.paths import StateFolder, default_cache, default_home, default_repository
from portalbus.infra.stack.ports import USUAL, Ports, choose, is_free, remember, remembered
from portalbus.infra.stack.postgres import Postgres, new_passwords
from portalbus.infra.stack.process import ProcessRecord, Service, end
from portalbus.infra.stack.progress import Progress, Quiet
from portalbus.infra.stack.quick_start import QuickStart
from portalbus.infra.stack.registry import Registry
from portalbus.infra.stack.status import StackStatus, service_status
from portalbus.infra.stack.together import run_together

# In the order in which they are ended: the registry holds connections to PostgreSQL.
SERVICES: dict[str, type[Service]] = {"registry": Registry, "kafka": Kafka, "postgres": Postgres}
ATTEMPTS = 3


class Stack:
    """The local stack of one state folder.

    As a context manager it is up inside the block and down after it. While it is up, `kafka`, `registry` and
    `postgres` can be stopped, killed and started one by one; they come back with the same port and data.
    """

    kafka: Kafka
    registry: Registry
    postgres: Postgres
    endpoints: Endpoints

    def __init__(
        self,
        home: Path | None = None,
        *,
        progress: Progress | None = None,
        cache: Path | None = None,
        usual_ports: Ports | None = USUAL,
        lock: Lock | None = None,
    ) -> None:
        """Nothing is touched yet.

        `home` is the state folder and `cache` that of downloads, else from the environment.
        `usual_ports=None` takes free ports from the start; `lock` names other Java parts than those shipped.
        """
        self.state = StateFolder.at(home or default_home())
        self._progress: Progress = progress or Quiet()
        self._ownership = Ownership(self.state)
        self._usual = usual_ports
        self._downloads = Downloads(
            lock or Lock.shipped(), cache or default_cache(), self._progress, default_repository()
        )
        self._called_off = threading.Event()
        self._services: tuple[Service, ...] = ()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._down_own()

    def fetch(self) -> None:
        """Fetch and check the Java parts without starting anything; at once when they are there."""
        self._downloads.ensure("kafka")
        self._downloads.ensure("registry")

    def up(self) -> Endpoints:
        """Bring everything up and return the addresses.

        Raises StackError, or AlreadyRunning when another process holds the state folder. Whatever ends the
        start, Ctrl-C included, nothing is left running.
        """
        preflight.check(self.state.root)
        self.state.create()
        self._ownership.take()
        atexit.register(self._down_own)
        try:
            self._sweep()
            self._start()
        except BaseException:
            self._down_own()
            raise
        return self.endpoints

    def _start(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            ports = choose(remembered(self.state.ports), self._progress.note, usual=self._usual)
            self._build(ports)
            try:
                run_together(*self._jobs(self._new_check()))
                break
            except StackError as error:
                # The other program may have gone again: what the service said counts as much as what is to be seen.
                lost_port = isinstance(error, PortTaken) or self._lost_port()
                self._end_services()
                if attempt == ATTEMPTS or not lost_port:
                    raise
        remember(self.state.ports, ports)
        self.endpoints = Endpoints(self.kafka.bootstrap, self.registry.url, self.postgres.uri("portalbus"))
        self.endpoints.write(self.state.endpoints)

    def _build(self, ports: Ports) -> None:
        self.postgres = Postgres(self.state, ports.postgres, self._passwords())
        self.kafka = Kafka(
            self.state, ports.kafka, ports.kafka_controller, self._jars("kafka"), self._quick_start("kafka")
        )
        self.registry = Registry(
            self.state,
            ports.registry,
            ports.registry_management,
            self.postgres,
            self._jars("registry"),
            self._quick_start("registry"),
        )
        self._services = (self.registry, self.kafka, self.postgres)

    def _jars(self, app: App) -> Callable[[], list[Path]]:
        """Give a service its files, checked anew each time it asks."""
        return lambda: self._downloads.ensure(app)

    def _quick_start(self, app: App) -> QuickStart:
        return QuickStart(self._downloads.folder / "quick-start", app)

    def _passwords(self) -> dict[str, str]:
        if not self.state.secrets.exists():
            write_private(self.state.secrets, json.dumps(new_passwords()) + "\n")
        return dict(json.loads(self.state.secrets.read_text()))

    def _new_check(self) -> Callable[[], None]:
        """Return what the threads of one attempt ask whether they should go on."""
        called_off = self._called_off = threading.Event()

        def check() -> None:
            if called_off.is_set():
                raise Cancelled

        return check

    def _jobs(self, check: Callable[[], None]) -> tuple[Callable[[], None], ...]:
        def start(service: Service) -> None:
            step = f"starting {service.name}"
            self._progress.step(step)
            service.start(check)
            self._progress.done(step, f"port {service.ports[0]}")

        def start_kafka() -> None:
            if self._downloads.missing("kafka"):
                self._downloads.ensure("kafka", check)
            start(self.kafka)

        def start_postgres_and_registry() -> None:
            start(self.postgres)
            if self._downloads.missing("registry"):
                self._downloads.ensure("registry", check)
            start(self.registry)

        return start_kafka, start_postgres_and_registry

    def _lost_port(self) -> bool:
        """Tell whether another program took a port between our look at it and the service's."""
        ended = [service for service in self._services if service.pid is None]
        return any(service.was_started and not is_free(port) for service in ended for port in service.ports)

    def down(self) -> None:
        """End all services, whichever process brought them up; does nothing when none is running.

        From another process: that process is asked to end first (SIGTERM), and waited for.
        """
        if self._ownership.held:
            self._down_own()
        elif end_owner(self.state) or not is_locked(self.state):
            self._sweep()

    def _down_own(self) -> None:
        if not self._ownership.held:
            return
        try:
            self._end_services()
        finally:
            self._sweep()
            atexit.unregister(self._down_own)
            self._ownership.release()

    def _end_services(self) -> None:
        self._called_off.set()
        for service in self._services:
            service.stop()

    def _sweep(self) -> None:
        """End what a killed owner may have left, found by its pid files, and empty the scratch folder."""
        for name, service in SERVICES.items():
            pid_file = self.state.run / f"{name}.pid"
            record = ProcessRecord.read(pid_file)
            process = record.process() if record else None
            if process is not None:
                end(process, service.stop_signal, service.stop_patience_s)
            pid_file.unlink(missing_ok=True)
        self.state.endpoints.unlink(missing_ok=True)
        shutil.rmtree(self.state.scratch, ignore_errors=True)

    def status(self) -> StackStatus:
        """Tell what is running, from this process or any other."""
        owner = owner_of(self.state)
        endpoints = Endpoints.read(self.state.endpoints) if self.state.endpoints.exists() else None
        services = tuple(service_status(name, self.state.run / f"{name}.pid") for name in SERVICES)
        return StackStatus(self.state.root, owner.pid if owner else None, endpoints, services)
