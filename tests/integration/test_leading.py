"""Who leads: a leader that is busy keeps its lead however long it says nothing, a frozen one loses it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue

import psycopg
import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "leading_process.py"
SILENT_S, BUSY_S, PATIENCE_S = 4.0, 9.0, 40.0
"""A sign of life comes every two seconds."""


class Process:
    """A process that leads or stands by."""

    def __init__(self, url: str, busy: float) -> None:
        command = [sys.executable, str(PROGRAM), url, str(SILENT_S), str(busy)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._said: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.strip())

    def says(self, what: str) -> None:
        """Waits until it says this."""
        deadline = time.monotonic() + PATIENCE_S
        while self._said.get(timeout=max(deadline - time.monotonic(), 0.01)) != what:
            pass

    def has_said(self) -> list[str]:
        """What it has said since."""
        found = []
        try:
            while True:
                found.append(self._said.get_nowait())
        except Empty:
            return found


@pytest.fixture
def start(ledger_url: str) -> Iterator[Callable[[float], Process]]:
    started: list[Process] = []

    def start(busy: float) -> Process:
        started.append(Process(ledger_url, busy))
        return started[-1]

    yield start
    for one in started:
        one.process.send_signal(signal.SIGCONT)
        one.process.kill()
        one.process.wait()


def test_a_leader_that_says_nothing_because_it_is_busy_keeps_its_lead(start: Callable[[float], Process]) -> None:
    leader = start(BUSY_S)
    leader.says("leads")
    other = start(BUSY_S)
    other.says("waits")
    leader.says("worked")
    leader.says("worked")
    assert other.has_said() == []
    leader.process.kill()
    other.says("leads")


def test_a_frozen_leader_loses_its_lead_and_has_no_session_left(
    start: Callable[[float], Process], ledger_url: str
) -> None:
    leader = start(0.1)
    leader.says("worked")
    other = start(0.1)
    other.says("waits")
    leader.process.send_signal(signal.SIGSTOP)
    other.says("leads")
    with psycopg.connect(ledger_url) as look:
        row = look.execute(
            "select count(*) from pg_stat_activity where application_name = 'portalbus-leads'"
        ).fetchone()
    assert row == (1,)
    leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(PATIENCE_S) != 0
