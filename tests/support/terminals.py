"""A program on a terminal: what it draws there, with colours and moving bars."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
ROWS, COLUMNS = 50, 200


class OnATerminal:
    """A program whose standard output and error are a terminal of 200 columns."""

    def __init__(self, program: subprocess.Popen[bytes], screen: int) -> None:
        self._program = program
        self._screen = screen
        self.status: int | None = None

    def to_its_end(self, within: float) -> str:
        """Everything that the program has drawn by its end, one after the other, without colours and movements."""
        drawn, deadline = b"", time.monotonic() + within
        while True:
            assert time.monotonic() < deadline, STEERING.sub("", drawn.decode(errors="replace"))[-2_000:]
            if not select.select([self._screen], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(self._screen, 65_536)
            except OSError:  # how Linux says that nobody has the other end open any more
                break
            if not part:
                break
            drawn += part
        self.status = self._program.wait(30)
        return STEERING.sub("", drawn.decode(errors="replace"))


@contextmanager
def on_a_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[OnATerminal]:
    """Runs a command on a terminal of its own."""
    screen, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    known = {name: value for name, value in environment.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    program = subprocess.Popen(
        [*command], env={**known, "TERM": "xterm-256color"}, stdin=its_end, stdout=its_end, stderr=its_end
    )
    os.close(its_end)
    try:
        yield OnATerminal(program, screen)
    finally:
        program.kill()
        program.wait(30)
        with suppress(OSError):
            os.close(screen)
