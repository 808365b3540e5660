"""A portal with a database whose process dies at every step in turn, as of kill -9; then what it left is moved.

usage: intent_steps.py KIND DATABASE_URL OUTBOX_FOLDER PORTAL FIRST_NUMBER STRIDE

In each round a forked process makes a change, publishes it, and moves what waits. It is killed right before the n-th
thing that it does to a database, or that changes the outbox or a file beside it, or right after it; n goes up by STRIDE
until a round ends by itself. Every third round means to roll back. Prints the number of kills.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from intent_portals import KINDS, IntentPortal, rolled_back
from portal_events import feedback
from portalbus.producers.intents.relay import IntentRelay

OURS = "/portalbus/producers/"
FILE_STEPS = {"pwrite", "fsync", "link", "unlink"}
OUTBOX_CHANGES = {"transaction", "insert_events", "write_source", "migrate"}
DRIVERS = ("/sqlalchemy/", "/django/db/")
DATABASE_STEPS = {"do_execute", "do_executemany", "do_commit", "do_rollback", "_execute", "_executemany", "_commit"}


class Killer:
    """A profile function that ends the process at its n-th step."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if event in ("call", "return"):
            step = name in DATABASE_STEPS and any(part in file for part in DRIVERS)
        elif OURS in file:
            what = getattr(argument, "__name__", "")
            step = what in FILE_STEPS or (name in OUTBOX_CHANGES and what == "execute")
        else:
            step = False
        if step:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Runs the rounds."""
    kind, url, folder, name, first, stride = sys.argv[1:]
    portal = KINDS[kind](url, name)
    step, kills, ended = random.randint(1, int(stride)), 0, False
    while not ended:
        portal.close()
        rolls_back = kills % 3 == 2
        child = os.fork()
        if not child:
            live(portal, Path(folder), int(first) + step, step, rolls_back)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, f"the round with step {step} failed by itself"
        ended = status == 0 and not rolls_back  # a round that rolls back has fewer steps
        step += int(stride)
        kills += 1
    print(kills - 1)


def live(portal: IntentPortal, folder: Path, number: int, step: int, rolls_back: bool) -> None:
    """One round."""
    assert threading.active_count() == 1
    sys.setprofile(Killer(step))
    with rolled_back(portal) if rolls_back else portal.transaction() as doing:
        doing.change(number)
        doing.publish(feedback(number))
    IntentRelay(portal.table, outbox=folder, deliver=False).step()
    sys.setprofile(None)


if __name__ == "__main__":
    main()
