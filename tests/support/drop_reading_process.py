"""Reads a drop folder to its end and says how many rows there were and how much memory it took at most, in bytes."""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta

from portalbus.connectors.pull.comparing import Outcome
from portalbus.connectors.pull.drop_folder.kind import DropFolder
from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.found import Before
from portalbus.connectors.pull.remembered import Memory

KIB = 1024


def main(folder: str) -> None:
    """Reads the folder, an hour from now."""
    config = DropFolderConfig(agency="H26", kind="files", address=folder, max_items=1_000_000)
    source = DropFolder(config, lambda: datetime.now(UTC) + timedelta(hours=1))
    read, more = 0, True
    while more:
        reading = source.read(Before())
        read, more = read + len(reading.items), reading.more
        source.settled(reading, Outcome(Memory()))
    source.close()
    print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB)


if __name__ == "__main__":
    main(sys.argv[1])
