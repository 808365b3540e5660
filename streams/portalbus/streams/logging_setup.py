"""JSON lines on standard error, with dotted event names; an allow-list would hide faults, so nothing logs content."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict

from portalbus.schemas.tracing import trace_id


def log_json(process: str) -> None:
    """Configures structlog for one process of the bus."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            with_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def with_trace(logger: object, method: str, line: EventDict) -> EventDict:
    """A line about one event names its trace, under the name that OpenTelemetry's collectors look for."""
    if line.get("event_id"):
        line["trace_id"] = trace_id(str(line["event_id"]))
    return line
