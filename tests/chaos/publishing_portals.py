"""A process of several portals that publish without end, each word of it written down before and after.

usage: publishing_portals.py BOOTSTRAP REGISTRY_URL FOLDER HISTORY RATE SEED SINCE MOST SOURCE…

It may be killed at any moment, and started again with the same folder. On SIGTERM it stops publishing, waits until
everything is delivered, and ends. What it should have said by its rate since `SINCE` (seconds since 1970), when it was
started, it makes up for, but for no more than `MOST` seconds at once.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bus_events import answer, directive, receipt
from history_recorder import HistoryFile
from portalbus.producers import Portal
from portalbus.schemas.identifiers import new_event_id, new_public_code
from portalbus.schemas.models import Payload

BATCH = 4


class Writing:
    """One portal, and what it says: cases that it answers itself, directives that it revises."""

    def __init__(self, portal: Portal, agency: str, random: Random) -> None:
        self.portal = portal
        self._agency = agency
        self._random = random
        self._life = os.urandom(5).hex()
        self._numbers = itertools.count(1)
        self._cases: list[str] = []
        self._documents: dict[str, int] = {}

    def next(self) -> Payload:
        """The next thing to say; it follows only from what was said before."""
        number = next(self._numbers)
        kind = self._random.random()
        if kind < 0.3 and self._cases:
            return answer(self._cases.pop(), answer=f"Trả lời {number}.")
        if kind < 0.7:
            case = f"{self._agency}-{self._life}-{number:06}"
            self._cases.append(case)
            return receipt(case, addressed_to=self._agency, public_code=new_public_code())
        name = self._random.choice([*self._documents, f"d-{self._life}-{number}"])
        self._documents[name] = self._documents.get(name, 0) + 1
        return directive(name, self._documents[name])


def publish(writing: Writing, history: HistoryFile) -> None:
    """Says a few things, one by one, and writes down what was promised."""
    for _ in range(BATCH):
        event_id, source = new_event_id(), writing.portal.settings.source
        payload = writing.next()
        history.put([{"saw": "attempted", "id": event_id, "source": source}])
        receipt_of = writing.portal.publish(payload, event_id=event_id)
        place = {"epoch": receipt_of.epoch, "sequence": receipt_of.sequence}
        history.put([{"saw": "acknowledged", "id": event_id, "source": source, **place, "at": time.time()}])


def main() -> None:
    """Publishes at `RATE` events a second over all sources."""
    bootstrap, registry_url, folder, path, rate, seed, since, most, *sources = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    random = Random(int(seed))
    history = HistoryFile(Path(path))
    writings = []
    for source in sources:
        agency, name = source.split("/")
        portal = Portal(agency, name, bootstrap=bootstrap, registry_url=registry_url, outbox=Path(folder))
        writings.append(Writing(portal.start(), agency, random))
    print("publishing", flush=True)
    due = time.monotonic() - min(time.time() - float(since), float(most))
    for writing in itertools.cycle(writings):
        if stop.wait(max(0.0, due - time.monotonic())):
            break
        due = max(due + BATCH / float(rate), time.monotonic() - float(most))
        publish(writing, history)
    while any(writing.portal.status().undelivered for writing in writings):
        time.sleep(0.1)
    for writing in writings:
        writing.portal.close()
    print("delivered", flush=True)


if __name__ == "__main__":
    main()
