"""Runs the commands of a page one by one on a bus: what goes on for ever is ended when it has said what is awaited."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from doc_pages import statements
from howto_page import Block, assert_said
from portalbus_command import read_until

PATIENCE_S = 90
SAYS_NO = "exit status 1"
"""What stands behind a command whose answer may be no."""


@dataclass
class PageRunner:
    """A folder, an environment, what stands for the page's own names, and what is awaited of what goes on for ever.

    `goes_on` maps the beginning of a command to words of its output; `skipped` begin commands that were run before.
    """

    work: Path
    environment: dict[str, str]
    replaced: dict[str, str] = field(default_factory=dict)
    goes_on: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    said: str = ""
    """What the last command said."""

    def run(self, blocks: list[Block]) -> None:
        """Runs every `sh` block; its commands must end well, and say what the `output` block behind it says."""
        said = ""
        for kind, text in blocks:
            if kind == "sh":
                said = "".join(self.command(one) for one in statements(text.replace("\\\n", " ")) if one.strip())
            elif kind == "output":
                assert_said(text.splitlines(), said)

    def command(self, text: str) -> str:
        """Runs one command with what stands for the page's names; what it said on its standard output."""
        for name, meant in self.replaced.items():
            text = text.replace(name, meant)
        if text.startswith(self.skipped or ("\0",)):
            return ""
        awaited = next((words for begun, words in self.goes_on.items() if text.startswith(begun)), None)
        self.said = self._to_its_end(text) if awaited is None else self._until(text, awaited)
        return self.said

    def _to_its_end(self, text: str) -> str:
        done = subprocess.run(
            ["/bin/bash", "-c", text],
            cwd=self.work,
            env=self._whole_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        allowed = (0, 1) if SAYS_NO in text else (0,)
        assert done.returncode in allowed, f"{text}\n{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def _until(self, text: str, words: str) -> str:
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec {text}"],
            cwd=self.work,
            env=self._whole_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        too_late = threading.Timer(PATIENCE_S, process.kill)
        too_late.start()
        try:
            said = "".join(read_until(process, words))
        finally:
            too_late.cancel()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), f"{text}\n{process.returncode}: {said}"
        return said

    def _whole_environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{self.environment['PATH']}"
        return {**self.environment, "PATH": path}
