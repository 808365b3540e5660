"""A portal's process for tests that kill it: publishes without end and prints each receipt once it has it.

usage: publishing_process.py FOLDER FIRST_NUMBER [BOOTSTRAP REGISTRY_URL]
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from portal_events import feedback
from portalbus.producers import Portal


def main() -> None:
    """Publishes singly and in batches, in turn."""
    folder, first, *bus = sys.argv[1:]
    bootstrap, registry_url = bus or ("", "")
    portal = Portal(
        "H26",
        "killed",
        outbox=Path(folder),
        bootstrap=bootstrap,
        registry_url=registry_url,
        deliver=bool(bus),
    )
    for number in itertools.count(int(first), 4):
        receipts = [portal.publish(feedback(number))]
        receipts += portal.publish_many(feedback(number + more) for more in (1, 2, 3))
        for receipt in receipts:
            print(receipt.sequence, receipt.event_id, receipt.key, flush=True)


if __name__ == "__main__":
    main()
