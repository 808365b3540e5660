"""A portal with a database of its own: a real Django process, in which events commit with the portal's own rows."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.plan import Step
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.producers import new_event_id

PROGRAM = "portalbus.infra.demo.joined.django_program"
STOP_S = 45.0


def is_installed() -> bool:
    """Whether Django is."""
    return importlib.util.find_spec("django") is not None


class DjangoPortal:
    """Hands its steps to the Django process one by one. A context manager: running inside, ended after."""

    def __init__(
        self,
        steps: Sequence[Step],
        addresses: Addresses,
        home: Path,
        clockwork: Clockwork,
        log: SentLog,
    ) -> None:
        self._steps = steps
        self._addresses = addresses
        self._home = home
        self._clockwork = clockwork
        self._log = log
        self._thread = threading.Thread(target=self._work, name="demo-django", daemon=True)

    def __enter__(self) -> Self:
        # The database outlives a run, as its outbox does: the two belong together.
        database = self._home / "demo" / f"{self._steps[0].agency}.django.sqlite"
        command = [sys.executable, "-m", PROGRAM, str(database), self._steps[0].agency, self._steps[0].portal]
        environment = {
            **os.environ,
            "PORTALBUS_BOOTSTRAP": self._addresses.bootstrap,
            "PORTALBUS_REGISTRY": self._addresses.registry_url,
            "PORTALBUS_OUTBOX": str(self._home / "outbox"),
        }
        with (self._home / "logs" / "demo-django.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def start(self) -> None:
        """The portal begins its day."""
        self._thread.start()

    def _work(self) -> None:
        self._clockwork.play(self._steps, self._publish)

    def _publish(self, step: Step) -> None:
        said: dict[str, object] = {
            "type": step.payload.event_type,
            "event_id": new_event_id(),
            "occurred_at": step.occurred_at.isoformat(),
            "data": step.payload.model_dump(mode="json"),
        }
        called = time.time_ns()
        if self._ask(said) != said["event_id"]:
            raise ChildProcessError("the Django portal ended; logs/demo-django.log says why")
        self._log.note(Sent(step, called, time.time_ns(), event_id=str(said["event_id"])))

    def _ask(self, said: dict[str, object]) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            return ""
        try:
            self._process.stdin.write(json.dumps(said, ensure_ascii=False) + "\n")
            self._process.stdin.flush()
        except OSError:
            return ""
        answer = self._process.stdout.readline().strip()
        return self._process.stdout.readline().strip() if answer == "ready" else answer
