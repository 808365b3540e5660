"""Logs of the process: one JSON line each, only what somebody should know; libraries' logs go the same way."""

from __future__ import annotations

import logging
import sys
import traceback

import structlog
from structlog.typing import EventDict

from portalbus.streams.logging_setup import with_trace

LIBRARIES = ("uvicorn", "uvicorn.error", "psycopg", "psycopg.pool", "asyncio")
DEEPEST_FRAMES = 12


def log_as_json(level: int = logging.INFO) -> None:
    """Sets up structlog for this process: JSON on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            with_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _frames_without_values,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = _ToStructlog()
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False


def _frames_without_values(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Where an exception was raised, without its message and variables, which may quote what a citizen sent."""
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_FRAMES:]
        line["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return line


class _ToStructlog(logging.Handler):
    """A library's warning as one line. Its arguments are left out: they may quote a request or an address."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; never raises."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        fields = {"error": error} if error else {}
        structlog.get_logger(record.name).log(
            record.levelno, "library.log", library=record.name, said=str(record.msg)[:200], **fields
        )
