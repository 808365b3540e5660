"""What is running of a bus, how much memory it takes, and how far each lane is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from portalbus.infra.bus.addresses import Addresses, local_addresses, read_bus_file
from portalbus.infra.bus.processes import EXIT_PARKING_STOPPED, NAMES, is_bus_process
from portalbus.infra.stack import Stack
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.process import ProcessRecord


@dataclass(frozen=True)
class ProcessStatus:
    """One process with its children; memory in bytes, `restarts` since the bus came up, `last_exit` before them."""

    name: str
    pid: int | None
    resident: int
    proportional: int
    restarts: int = 0
    failed: bool = False
    last_exit: int | None = None

    @property
    def parking_stopped(self) -> bool:
        """True for a worker that stands still because too much could not be read."""
        return self.pid is None and self.last_exit == EXIT_PARKING_STOPPED


@dataclass(frozen=True)
class BusStatus:
    """What is running of the bus of one state folder.

    `resident` adds up the resident memory of every process, so that pages which several share count several times;
    `proportional` divides those among the sharers (zero where the system does not say).
    """

    home: Path
    owner: int | None
    addresses: Addresses
    processes: tuple[ProcessStatus, ...]
    started_at: str | None

    @property
    def running(self) -> bool:
        """True when the bus is up with all its processes."""
        parts = {process.name for process in self.processes if process.pid is not None}
        return self.started_at is not None and {"kafka", "registry", "postgres", "worker-1", *NAMES} <= parts

    @property
    def resident(self) -> int:
        """Resident bytes of everything."""
        return sum(process.resident for process in self.processes)

    @property
    def proportional(self) -> int:
        """Bytes of everything, shared pages counted once."""
        return sum(process.proportional for process in self.processes)

    def as_json(self) -> dict[str, Any]:
        """All of it but the database's password, for `--json`."""
        return {
            "running": self.running,
            "home": str(self.home),
            "owner": self.owner,
            "started_at": self.started_at,
            "bootstrap": self.addresses.bootstrap or None,
            "registry_url": self.addresses.registry_url or None,
            "database": self.addresses.database_url.rpartition("@")[2] or None,
            "central_url": self.addresses.central_url or None,
            "gateway_url": self.addresses.gateway_url or None,
            "resident_bytes": self.resident,
            "proportional_bytes": self.proportional,
            "processes": [asdict(process) for process in self.processes],
        }


def bus_status(home: Path) -> BusStatus:
    """Look at a bus from any process; never raises because something is not running."""
    stack = Stack(home).status()
    state = StateFolder.at(home)
    said = read_bus_file(state)
    processes = [_status(service.name, service.pid) for service in stack.services]
    details = dict(said.get("processes") or {})  # type: ignore[call-overload]
    for pid_file in sorted(state.run.glob("*.pid")) if state.run.exists() else []:
        if is_bus_process(pid_file):
            record = ProcessRecord.read(pid_file)
            process = record.process() if record else None
            detail = details.get(pid_file.stem, {})
            processes.append(
                _status(
                    pid_file.stem,
                    process.pid if process else None,
                    int(detail.get("restarts", 0)),
                    bool(detail.get("failed", False)),
                    detail.get("last_exit"),
                )
            )
    if stack.owner is not None:
        processes.append(_status("supervisor", stack.owner, family=False))
    started_at = said.get("started_at") if stack.owner is not None else None
    return BusStatus(state.root, stack.owner, local_addresses(home), tuple(processes), started_at)  # type: ignore[arg-type]


def _status(
    name: str,
    pid: int | None,
    restarts: int = 0,
    failed: bool = False,
    last_exit: int | None = None,
    *,
    family: bool = True,
) -> ProcessStatus:
    members: list[psutil.Process] = []
    try:
        if pid is not None:
            process = psutil.Process(pid)
            members = [process, *(process.children(recursive=True) if family else [])]
    except psutil.Error:
        pid = None
    resident, proportional = zip(*(_memory(member) for member in members), strict=True) if members else ((), ())
    return ProcessStatus(name, pid, sum(resident), sum(proportional), restarts, failed, last_exit)


def _memory(process: psutil.Process) -> tuple[int, int]:
    try:
        full = process.memory_full_info()
        return int(full.rss), int(getattr(full, "pss", 0))
    except psutil.Error:
        return 0, 0
