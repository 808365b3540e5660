"""Runs a web application as a process of its own."""

from __future__ import annotations

import signal
from types import FrameType

import structlog
import uvicorn

GRACE_S = 5
"""How long requests that are under way may take to end."""


class _AskedToEnd(BaseException):
    """SIGINT or SIGTERM, when the server has ended its requests or has not begun."""


def serve_until_asked(name: str, config: uvicorn.Config) -> None:
    """Serves until SIGINT or SIGTERM; then lets requests that are under way end. `name` begins the log lines.

    To be called in the main thread. Raises SystemExit(1) when the address is in use.
    """
    log = structlog.get_logger(__name__)
    # uvicorn handles the signals while it serves, and raises them again afterwards, for us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        scheme = "https" if config.ssl_certfile else "http"
        log.info(f"{name}.starting", address=f"{scheme}://{config.host}:{config.port}/")
        uvicorn.Server(config).run()
    except _AskedToEnd:
        log.info(f"{name}.stopped")
    except SystemExit:
        mend = "another process may use the address: end it, or choose another port"
        log.error(f"{name}.not-started", host=config.host, port=config.port, mend=mend)
        raise SystemExit(1) from None


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _AskedToEnd
