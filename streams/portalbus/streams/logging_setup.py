"""JSON lines on standard error, with dotted event names; an allow-list would hide faults, so nothing logs content."""

from __future__ import annotations

import logging
import sys

import structlog


def log_json(process: str) -> None:
    """Configures structlog for one process of the bus."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
