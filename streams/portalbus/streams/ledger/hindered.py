"""A database that is there and cannot do it now: its disk is full, or somebody else has the tables, as a migration may.

Processes wait, and go on with what they were at. Who ended instead would be started again and again, and say by its
exit status that something is wrong with itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog
from psycopg.errors import DiskFull

from portalbus.streams.ledger.table_locks import TABLES_HELD

log = structlog.get_logger(__name__)

T = TypeVar("T")
PAUSE_SECONDS = 1.0
HINDRANCES = (DiskFull, *TABLES_HELD)
"""What passes by itself, or by an operator's hand, while the connection is as good as before."""


def once_unhindered(work: Callable[[], T], application: str, stop: threading.Event) -> T | None:
    """Does `work`, again and again while something is in the way; returns what it returns, or None when told to stop.

    For work that leaves nothing behind when it fails: one statement or transaction, or several of which each may be
    done again.
    """
    while True:
        try:
            return work()
        except HINDRANCES as error:
            say_hindered(error, application)
            if stop.wait(PAUSE_SECONDS):
                return None


def say_hindered(error: psycopg.Error, application: str) -> None:
    """Logs what everybody logs who cannot use the database at the moment."""
    log.warning("database.away", application=application, error=type(error).__name__, sqlstate=error.sqlstate)
