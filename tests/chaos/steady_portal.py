"""A portal that publishes so many events at a steady rate, and says how it fared.

usage: steady_portal.py BOOTSTRAP REGISTRY_URL FOLDER HISTORY SOURCE COUNT RATE

Prints one line of JSON when everything is published, and one when everything is delivered.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bus_events import receipt
from history_recorder import HistoryFile
from portalbus.producers import Portal
from portalbus.schemas.identifiers import new_event_id, new_public_code

WARM_UP = 200


def main() -> None:
    """Publishes, then waits."""
    bootstrap, registry_url, folder, path, source, count, rate = sys.argv[1:]
    agency, name = source.split("/")
    history, process = HistoryFile(Path(path)), psutil.Process()
    took: list[float] = []
    with Portal(agency, name, bootstrap=bootstrap, registry_url=registry_url, outbox=Path(folder)) as portal:

        def publish(number: int) -> None:
            payload = receipt(f"{agency}-{number:06}", addressed_to=agency, public_code=new_public_code())
            event_id, began = new_event_id(), time.perf_counter()
            receipt_of = portal.publish(payload, event_id=event_id)
            took.append(time.perf_counter() - began)
            place = {"epoch": receipt_of.epoch, "sequence": receipt_of.sequence}
            history.put([{"saw": "acknowledged", "id": event_id, "source": source, **place, "at": time.time()}])

        for number in range(WARM_UP):
            publish(number)
        portal.flush(30)
        took.clear()
        before = process.memory_info().rss
        due = time.monotonic()
        for number in range(WARM_UP, int(count)):
            due += 1 / float(rate)
            time.sleep(max(0.0, due - time.monotonic()))
            publish(number)
        grown = process.memory_info().rss - before
        took.sort()
        figures = {"p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[int(len(took) * 0.99)] * 1e3}
        print(json.dumps({**figures, "most_ms": took[-1] * 1e3, "grown_mb": grown / 1e6}), flush=True)
        began = time.monotonic()
        portal.flush(600)
        grown = process.memory_info().rss - before
        print(json.dumps({"drained_s": time.monotonic() - began, "grown_mb": grown / 1e6}), flush=True)


if __name__ == "__main__":
    main()
