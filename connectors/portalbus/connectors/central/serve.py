"""Runs the central portal as a process of its own."""

from __future__ import annotations

import signal
from types import FrameType

import structlog
import uvicorn

from portalbus.connectors.central.app import create_app
from portalbus.connectors.central.settings import Settings

GRACE_S = 5


class _AskedToEnd(BaseException):
    """SIGINT or SIGTERM, when the server has ended its requests or has not begun."""


def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; then lets requests that are under way end, for 5 s at most.

    To be called in the main thread. Raises SystemExit(1) when the address is in use.
    """
    log = structlog.get_logger(__name__)
    # uvicorn handles the signals while it serves, and raises them again afterwards, for us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        server = uvicorn.Server(_config(settings))
        log.info("central.starting", address=f"http://{settings.host}:{settings.port}/")
        server.run()
    except _AskedToEnd:
        log.info("central.stopped")
    except SystemExit:
        mend = "another process may use the address: end it, or choose another port"
        log.error("central.not-started", host=settings.host, port=settings.port, mend=mend)
        raise SystemExit(1) from None


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _AskedToEnd
