"""What is running of the stack of one state folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from portalbus.infra.stack.endpoints import Endpoints
from portalbus.infra.stack.process import ProcessRecord


@dataclass(frozen=True)
class ServiceStatus:
    """One service: its pid and resident memory in bytes, or None when it is not running."""

    name: str
    pid: int | None
    resident: int | None


@dataclass(frozen=True)
class StackStatus:
    """The services, the process that runs them, and their addresses."""

    home: Path
    owner: int | None
    endpoints: Endpoints | None
    services: tuple[ServiceStatus, ...]

    @property
    def running(self) -> bool:
        """True when every service is there."""
        return all(service.pid is not None for service in self.services)


def service_status(name: str, pid_file: Path) -> ServiceStatus:
    """Look at one service by its pid file."""
    record = ProcessRecord.read(pid_file)
    process = record.process() if record else None
    if process is None:
        return ServiceStatus(name, None, None)
    family = [process, *process.children(recursive=True)]
    return ServiceStatus(name, process.pid, sum(_resident(member) for member in family))


def _resident(process: psutil.Process) -> int:
    """Memory with shared pages in parts, else PostgreSQL's buffers would count once a process."""
    try:
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    except psutil.Error:
        return 0
