"""A worker's hold on the ledger that freezes itself in the middle of a transaction, for test_ledger.py.

Usage: `python zombie_worker.py DATABASE_URL MOMENT`; MOMENT is `locked` (the ledger's lock is held, nothing is under
way) or `copying` (the server waits for the rest of a COPY). Continued, it goes on and says how it ended.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from bus_events import Lane, directive, writers
from memory_ledger import directory
from portalbus.streams.ledger import fetching, writing
from portalbus.streams.ledger import ledger as ledger_module
from portalbus.streams.ledger.ledger import Ledger


def freeze(*_: Any) -> None:
    """Stops this process as a hypervisor or a debugger does."""
    os.kill(os.getpid(), signal.SIGSTOP)


def freeze_when_locked() -> None:
    """Freezes once after the ledger's lock was taken."""
    fetch = fetching.fetch_history

    def frozen(*arguments: Any, **options: Any) -> Any:
        setattr(ledger_module, "fetch_history", fetch)  # noqa: B010 - the module does not export it
        freeze()
        return fetch(*arguments, **options)

    setattr(ledger_module, "fetch_history", frozen)  # noqa: B010


def freeze_while_copying() -> None:
    """Freezes between two rows of the first COPY."""
    event_row = writing._event_row
    rows = 0

    def frozen(*arguments: Any) -> Any:
        nonlocal rows
        rows += 1
        if rows == 2:
            freeze()
        return event_row(*arguments)

    setattr(writing, "_event_row", frozen)  # noqa: B010


def main(database_url: str, moment: str) -> None:
    """Takes three events of H26 in, and freezes on the way."""
    lane = Lane("H26")
    items = [lane.say(directive(f"d-{number}")) for number in range(3)]
    {"locked": freeze_when_locked, "copying": freeze_while_copying}[moment]()
    ledger = Ledger(database_url, writers(), directory())
    taken = ledger.take_in(items)
    print(f"judged {taken.judged}, replayed {taken.replayed}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
