"""Sends what Faust, mode and aiokafka log to structlog, with nothing in it that could be an event."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
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
    text = str(record.msg).partition("\n")[0]  # asyncio and mode put reprs of tasks and tracebacks below
    args: Any = record.args
    if isinstance(args, Mapping):  # named arguments, or one argument that happens to be a mapping
        named = {name: harmless(value) for name, value in args.items()}
        args = named if "%(" in text else (harmless(args),)
    elif args:
        args = tuple(harmless(value) for value in args)
    with suppress(TypeError, ValueError, KeyError):
        text = text % args if args else text
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
    """Send the libraries' logs from ``level`` on, and what ends a thread, to structlog and nowhere else."""
    handler = LibraryLogHandler()
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    threading.excepthook = _thread_died


def _where(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    return shown(record.exc_info[1])


def shown(error: BaseException) -> dict[str, Any]:
    """Return what of an exception may be logged: its type and where it was raised, never its message."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return {
        "error": type(error).__name__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _thread_died(args: threading.ExceptHookArgs) -> None:
    where = shown(args.exc_value) if args.exc_value else {}
    structlog.get_logger(__name__).error("thread.died", thread=getattr(args.thread, "name", None), **where)
