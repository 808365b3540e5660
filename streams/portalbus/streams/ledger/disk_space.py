"""A database whose disk is full: processes wait for space, and go on with what they were at.

Who ended instead would be started again and again, and say by its exit status that something is wrong with itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from psycopg.errors import DiskFull

log = structlog.get_logger(__name__)

T = TypeVar("T")
PAUSE_SECONDS = 1.0


def once_there_is_space(work: Callable[[], T], application: str, stop: threading.Event) -> T | None:
    """Does `work`, again and again while the disk is full; returns what it returns, or None when told to stop before.

    For work that leaves nothing behind when it fails: one transaction, or several of which each may be done again.
    """
    while True:
        try:
            return work()
        except DiskFull as error:
            say_full(error, application)
            if stop.wait(PAUSE_SECONDS):
                return None


def say_full(error: DiskFull, application: str) -> None:
    """Logs what everybody logs who cannot use the database at the moment."""
    log.warning("database.away", application=application, error=type(error).__name__, sqlstate=error.sqlstate)
