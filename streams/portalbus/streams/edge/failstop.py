"""Ending the process at once, because going on could lose or repeat events."""

from __future__ import annotations

import logging
import os
import sys
from typing import Protocol

import structlog

EXIT_FAIL_STOP = 70
"""EX_SOFTWARE: the supervisor restarts the worker, which takes its positions from the ledger again."""

EXIT_PARKING_STOPPED = 78
"""EX_CONFIG: too much could not be read. It may be started again, and stops again until somebody has mended that."""

log = structlog.get_logger(__name__)


class FailStop(Protocol):
    """Ends the process for ``reason``; a test may pass one that only writes the reason down."""

    def __call__(self, reason: str, /, **where: object) -> None: ...


def fail_stop(reason: str, /, **where: object) -> None:
    """Write one log line and end the process with status 70, running no cleanup.

    Raising would not do: Faust takes an exception in an agent for an acknowledgement.
    """
    log.critical("worker.fail-stop", reason=reason, **where)
    _end(EXIT_FAIL_STOP)


def parking_stop(reason: str) -> None:
    """End the process like ``fail_stop``, with status 78: to start it again mends nothing."""
    log.critical("worker.parking-stopped", reason=reason)
    _end(EXIT_PARKING_STOPPED)


def _end(status: int) -> None:
    for handler in logging.root.handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
