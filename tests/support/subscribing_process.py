"""A portal that takes the centre's events over: each event's id goes into a file, then the place is kept.

    python subscribing_process.py PLACE EFFECTS [--own]

With --own the effects and the place are kept in one SQLite transaction instead.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

from portalbus.producers.subscription import Place, Subscription


class OwnPlace:
    """The place in the portal's own database, beside what it made of the events."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("create table if not exists place (name text primary key, offset int, position int)")
        self.database.execute("create table if not exists effect (number integer primary key, event_id text)")

    def open(self) -> None:
        """Nobody else uses it."""

    def read(self) -> Mapping[str, Place]:
        """The places."""
        return {
            name: Place(offset, position) for name, offset, position in self.database.execute("select * from place")
        }

    def write(self, places: Mapping[str, Place]) -> None:
        """Keeps the places; in the caller's transaction, when there is one."""
        rows = [(name, *place) for name, place in places.items()]
        self.database.executemany("insert or replace into place values (?, ?, ?)", rows)

    def close(self) -> None:
        """Nothing to let go of."""


def main() -> None:
    """Runs until it is killed."""
    place, effects, *options = sys.argv[1:]
    if options:
        own = OwnPlace(place)
        for batch in Subscription.from_env(own).batches(most=20):
            own.database.execute("begin immediate")
            own.database.executemany("insert into effect (event_id) values (?)", [(e.envelope.id,) for e in batch])
            batch.done()
            own.database.execute("commit")
        return
    with Path(effects).open("a") as file:
        for batch in Subscription.from_env(place).batches(most=20):
            file.writelines(f"{event.position} {event.envelope.id}\n" for event in batch)
            file.flush()
            os.fsync(file.fileno())
            batch.done()


if __name__ == "__main__":
    main()
