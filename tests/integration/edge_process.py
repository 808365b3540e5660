"""One worker of the edge as a process, for the tests of the edge to start, kill and freeze; its ledger is SQLite.

Usage: ``python edge_process.py CONFIG`` with the JSON that ``EdgeRun`` in test_edge.py writes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from portalbus.streams.edge import (
    EdgeSettings,
    LaneApp,
    build_app,
    fail_stop,
    route_library_logs,
    run_worker,
)
from portalbus.streams.records import Batch


class Ledger:
    """The compare-and-set of the real ledger, and a row for every record that took effect."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)

    async def lanes(self) -> Collection[str]:
        """Return the directory of lanes."""
        return [lane for (lane,) in self._db.execute("SELECT lane FROM lanes")]

    async def positions(self, lanes: Iterable[str]) -> Mapping[str, int]:
        """Return each lane's next offset."""
        return dict(self._db.execute("SELECT lane, next FROM lane").fetchall())

    def apply(self, batch: Batch) -> None:
        """Apply a batch: smaller than next is already done, larger means that records are missing."""
        self._db.execute("BEGIN IMMEDIATE")
        nexts = dict(self._db.execute("SELECT lane, next FROM lane").fetchall())
        for record in batch.records:
            expected = nexts.get(record.lane, 0)
            where = (record.lane, record.offset, os.getpid())
            if record.offset < expected:
                self._db.execute("INSERT INTO fenced VALUES (?,?,?)", where)
            elif record.offset > expected:
                fail_stop("the ledger misses records", lane=record.lane, expected=expected, got=record.offset)
            else:
                self._db.execute("INSERT INTO applied VALUES (?,?,?,?,?)", (*where, batch.epoch, time.time()))
                nexts[record.lane] = expected + 1
        self._db.executemany("INSERT OR REPLACE INTO lane VALUES (?,?)", list(nexts.items()))
        self._db.execute("COMMIT")


def main(config: dict[str, Any]) -> int:
    """Run one worker until it is told to stop."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    route_library_logs(logging.INFO)
    log = structlog.get_logger()
    ledger = Ledger(Path(config["ledger"]))

    async def handle(batch: Batch) -> None:
        if config.get("raise_with_payload"):
            raise ValueError(f"cannot judge {batch.records[0].value!r}")
        if config.get("block_the_loop"):
            time.sleep(3_600)  # a stuck event loop is the point
        log.info("test.took", batch=repr(batch))
        await asyncio.sleep(config.get("seconds_per_batch", 0.0))
        ledger.apply(batch)
        log.info("test.applied", batch=repr(batch))

    @asynccontextmanager
    async def open_app(ending: threading.Event) -> AsyncIterator[LaneApp]:
        yield build_app(
            settings=EdgeSettings(**config["settings"]),
            lanes=ledger.lanes,
            positions=ledger.positions,
            handle=handle,
        )

    return run_worker(open_app, patience=config.get("patience", 60.0))


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))
