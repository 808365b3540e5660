"""Sends what Faust, mode and aiokafka log to structlog, with nothing in it that could be an event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import structlog

_LIBRARIES = ("faust", "mode", "aiokafka", "asyncio", "kafka")
_LONGEST_TEXT = 300
_PLAIN = (bool, int, float, type(None))


class LibraryLogHandler(logging.Handler):
    """Forwards library log records as one structured line each.

    Faust logs the reprs of messages, and exceptions quote what they failed on. So only numbers, short texts and
    names of types are let through from the arguments, and of an exception only its type and where it was raised.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record; never raises."""
        try:
            logger = structlog.get_logger(record.name)
            logger.log(record.levelno, "library.log", library=record.name, said=said(record), **_where(record))
        except Exception:
            self.handleError(record)


def said(record: logging.LogRecord) -> str:
    """Return the message of a library's log record with its arguments made harmless."""
    args: Any = record.args
    if isinstance(args, Mapping):
        args = {name: harmless(value) for name, value in args.items()}
    elif args:
        args = tuple(harmless(value) for value in args)
    text = str(record.msg)
    try:
        text = text % args if args else text
    except (TypeError, ValueError, KeyError):
        pass
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text)} characters)"


def harmless(value: object) -> Any:
    """Return what of a log argument may be shown."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"<text of {len(value)} characters>"
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, set | frozenset | list | tuple | dict):
        return f"<{len(value)} items>"
    return f"<{type(value).__name__}>"


def route_library_logs(level: int | str = logging.WARNING) -> None:
    """Send the libraries' logs from ``level`` on to structlog, and nowhere else."""
    handler = LibraryLogHandler()
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _where(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, _, trace = record.exc_info
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return {"error": kind.__name__, "at": at}
