"""A portal's process whose power will be cut: writes down what of its outbox was brought to the disk by then.

usage: cut_off_portal.py FOLDER HISTORY FIRST COUNT [BOOTSTRAP REGISTRY_URL]

Publishes so many events, the first with this number. Without a bus nothing is delivered, and it waits to be killed;
with one it ends when everything is delivered. `lose_power` is what a power cut does to its folder then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from bus_events import receipt
from history_recorder import HistoryFile
from portalbus.producers import Portal
from portalbus.producers.high_water import HighWater
from portalbus.schemas.identifiers import new_event_id
from simulator.disk import SqliteSyncs

AGENCY, PORTAL = "H26", "www"
SYNCED = "synced.ndjson"
AS_SYNCED = ".mark-synced"


def lose_power(folder: Path) -> int:
    """What was not brought to the disk is gone; returns how many bytes of the log that were."""
    synced: dict[str, int] = {}
    for line in (folder / SYNCED).read_text().splitlines():
        synced.update(json.loads(line))
    lost = 0
    for log in folder.glob("*.outbox-wal"):
        lost += log.stat().st_size - synced.get(log.name, 0)
        os.truncate(log, synced.get(log.name, 0))
    for mark in folder.glob("*.mark"):
        mark.write_bytes(mark.with_suffix(AS_SYNCED).read_bytes())
    for shared in folder.glob("*-shm"):
        shared.unlink()
    return lost


def note_syncs(folder: Path) -> None:
    """From now on, writes down how much of each log was synced, and keeps each mark as it was."""
    notes = os.open(folder / SYNCED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sync = HighWater.sync

    def heard(path: str) -> None:
        if path.endswith("-wal"):
            os.write(notes, json.dumps({Path(path).name: Path(path).stat().st_size}).encode() + b"\n")

    def mark_synced(mark: HighWater) -> None:
        sync(mark)
        mark.path.with_suffix(AS_SYNCED).write_bytes(mark.path.read_bytes())

    note_syncs.listener = SqliteSyncs(heard)  # type: ignore[attr-defined]  # it has to live as long as the process
    HighWater.sync = mark_synced  # type: ignore[method-assign,assignment]


def main() -> None:
    """One life of the portal."""
    folder, path, first, count, *bus = sys.argv[1:]
    note_syncs(Path(folder))
    history, source = HistoryFile(Path(path)), f"{AGENCY}/{PORTAL}"
    bootstrap, registry_url = bus or ("", "")
    portal = Portal(
        AGENCY, PORTAL, bootstrap=bootstrap, registry_url=registry_url, outbox=Path(folder), deliver=bool(bus)
    )
    for number in range(int(first), int(first) + int(count)):
        event_id = new_event_id()
        history.put([{"saw": "attempted", "id": event_id, "source": source}])
        told = portal.publish(receipt(f"{AGENCY}-{number:06}", number), event_id=event_id)
        place = {"epoch": told.epoch, "sequence": told.sequence}
        history.put([{"saw": "acknowledged", "id": event_id, "source": source, **place}])
    print("published", flush=True)
    while not bus or portal.status().undelivered:
        time.sleep(0.05)
    portal.close()


if __name__ == "__main__":
    main()
