"""Runs `portalbus` as its users do: a process of its own, with a state folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

COMMAND = (sys.executable, "-m", "portalbus.infra.cli")


@dataclass(frozen=True)
class Portalbus:
    """The command line with a state folder."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command: nothing of another bus."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PORTALBUS_") or name == "PORTALBUS_CACHE"
        }
        return {**kept, "PORTALBUS_HOME": str(self.home), "PORTALBUS_LANG": "en"}

    def __call__(self, *argv: str, stdin: str | None = None, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*COMMAND, *argv],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *argv: str) -> Any:
        """Runs a command with `--json` that must end well, and reads its answer."""
        done = self(*argv, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def json_status(self) -> Any:
        """What `status --json` says, whether the bus is whole or not."""
        return json.loads(self("status", "--json").stdout)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Starts a command that goes on, in a session of its own; its output comes together."""
        return subprocess.Popen(
            [*COMMAND, *argv],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Every living process that has this state folder in its command line or its environment."""
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return str(self.home) in " ".join(process.cmdline()) or process.environ().get("PORTALBUS_HOME") == str(
                self.home
            )
        except psutil.Error:
            return False


@contextmanager
def bus_up(home: Path) -> Iterator[Portalbus]:
    """The whole bus, brought up in the background by the command line itself; nothing of it is left afterwards."""
    command = Portalbus(home)
    done = command("up", "--detach", "--any-ports", timeout=600)
    assert done.returncode == 0, done.stderr
    yield command
    assert command("down").returncode == 0
    assert command.processes() == []


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Asks again and again until the answer is yes; tells whether it ever was."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def read_json(url: str) -> Any:
    """The JSON at an address."""
    with urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """Reads the output of a process until a line holds these words; fails when the process ends before."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("the process ended before it said so:\n" + "".join(lines))
