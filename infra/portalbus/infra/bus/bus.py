"""The whole bus of one state folder, up and down together."""

from __future__ import annotations

import json
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from portalbus.infra.bus.addresses import BUS_FILE, Addresses
from portalbus.infra.bus.processes import BusProcess, bus_processes, sweep
from portalbus.infra.bus.provision import admin_client, provision, wanted_topics
from portalbus.infra.bus.supervisor import Supervisor
from portalbus.infra.stack import Progress, Quiet, Stack, default_home
from portalbus.infra.stack.endpoints import Endpoints, write_private
from portalbus.infra.stack.ports import LOOPBACK, SPARE, USUAL, Ports, is_free
from portalbus.infra.stack.together import run_together
from portalbus.schemas.directory import directory

USUAL_WEB_PORT = 8090
USUAL_GATEWAY_PORT = 8091


class Bus:
    """The stack with worker, relay, central portal, webhooks and gateway. A context manager: up inside, down after.

    Its parent-death signals and pid files make sure that nothing survives it, however it ends.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        progress: Progress | None = None,
        workers: int = 1,
        web_port: int | None = None,
        gateway_port: int | None = None,
        cache: Path | None = None,
        usual_ports: Ports | None = USUAL,
    ) -> None:
        self._progress: Progress = progress or Quiet()
        self.stack = Stack(home or default_home(), progress=self._progress, cache=cache, usual_ports=usual_ports)
        self.state = self.stack.state
        self.addresses = Addresses()
        self._workers = workers
        self._web_port = web_port
        self._gateway_port = gateway_port
        self._any_port = usual_ports is None
        self._started_at = datetime.now(UTC)
        self._processes: list[BusProcess] = []
        self._supervisor: Supervisor | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Addresses:
        """Bring everything up and return the addresses.

        Raises StackError, AlreadyRunning when another process runs this state folder. Whatever ends the start,
        Ctrl-C included, nothing is left running.
        """
        began = time.monotonic()
        endpoints = self.stack.up()
        try:
            sweep(self.state)
            web = self._choose_port("central portal", self._web_port, USUAL_WEB_PORT)
            gateway = self._choose_port("gateway", self._gateway_port, USUAL_GATEWAY_PORT, but=web)
            self.addresses = Addresses(
                endpoints.bootstrap,
                endpoints.registry_url,
                endpoints.database_url,
                f"http://{LOOPBACK}:{web}",
                f"http://{LOOPBACK}:{gateway}",
            )
            run_together(lambda: self._migrate(endpoints), lambda: self._register(endpoints), self._make_topics)
            self._start_processes()
        except BaseException:
            self.down()
            raise
        self._progress.note(f"the bus is up after {time.monotonic() - began:.1f} s")
        return self.addresses

    def down(self) -> None:
        """End everything that this object started; the state stays."""
        if self._supervisor is not None:
            self._supervisor.stop()
        try:
            # The relay and the worker before their Kafka and their database, so that they can say goodbye.
            if self._processes:
                run_together(*(process.stop for process in self._processes))
        finally:
            self._processes = []
            (self.state.run / BUS_FILE).unlink(missing_ok=True)
            self.stack.down()

    def failed(self) -> list[str]:
        """Names of processes that the supervisor has given up."""
        watched = self._supervisor.watched if self._supervisor else []
        return [item.process.name for item in watched if item.failed]

    def _migrate(self, endpoints: Endpoints) -> None:
        from portalbus.streams.ledger.database import migrate

        self._progress.step("preparing the ledger")
        applied = migrate(endpoints.database_url)
        self._progress.done("preparing the ledger", f"{len(applied)} new migrations" if applied else "nothing new")

    def _register(self, endpoints: Endpoints) -> None:
        from portalbus.schemas.registration import register_all
        from portalbus.schemas.registry import SchemaRegistry

        self._progress.step("registering the schemas")
        ids = register_all(SchemaRegistry(endpoints.registry_url))
        self._progress.done("registering the schemas", f"{len(ids)} contracts")

    def _make_topics(self) -> None:
        step = "making the topics"
        self._progress.step(step)
        agencies = [agency.code for agency in directory().current(datetime.now(UTC).date())]
        made, mended = provision(
            admin_client(self.addresses.bootstrap, {}),  # the local broker asks for no login
            wanted_topics(agencies),
            lambda done, total: self._progress.update(step, done, total, "topics"),
        )
        for problem in mended:
            self._progress.note(f"mended: {problem}")
        self._progress.done(
            step, f"{made} new topics for {len(agencies)} agencies" if made else f"{len(agencies)} agencies"
        )

    def _start_processes(self) -> None:
        self._processes = bus_processes(self.state, self.addresses, self._workers)
        run_together(*(lambda process=process: self._start(process) for process in self._processes))
        self._supervisor = Supervisor(self._processes, self._write_bus_file)
        self._supervisor.start()
        self._write_bus_file()

    def _start(self, process: BusProcess) -> None:
        step = f"starting the {process.name}"
        self._progress.step(step)
        process.start()
        shown = {"central": self.addresses.central_url, "gateway": self.addresses.gateway_url}
        self._progress.done(step, shown.get(process.name, ""))

    def _choose_port(self, what: str, asked: int | None, usual: int, but: int | None = None) -> int:
        wanted = [asked] if asked else [] if self._any_port else [usual]
        for port in [*wanted, *random.sample(SPARE, 200)]:
            if port != but and is_free(port):
                if wanted and port != wanted[0]:
                    self._progress.note(f"port {wanted[0]} is taken, so the {what} listens on {port}")
                return port
        return 0

    def _write_bus_file(self) -> None:
        watched = self._supervisor.watched if self._supervisor else []
        processes = {
            item.process.name: {"restarts": item.restarts, "failed": item.failed, "last_exit": item.last_exit}
            for item in watched
        }
        said = {
            "central_url": self.addresses.central_url,
            "gateway_url": self.addresses.gateway_url,
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "processes": processes,
        }
        with self._lock:
            write_private(self.state.run / BUS_FILE, json.dumps(said, indent=2) + "\n")
