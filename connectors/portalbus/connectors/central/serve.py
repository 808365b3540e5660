"""Runs the central portal as a process of its own."""

from __future__ import annotations

import structlog
import uvicorn

from portalbus.connectors.central.app import create_app
from portalbus.connectors.central.settings import Settings

GRACE_S = 5


def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; then lets requests that are under way end, for 5 s at most.

    Raises SystemExit(1) when the address is in use.
    """
    log = structlog.get_logger(__name__)
    server = uvicorn.Server(
        uvicorn.Config(
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
    )
    log.info("central.starting", address=f"http://{settings.host}:{settings.port}/")
    server.run()
    log.info("central.stopped")
    if not server.started:
        raise SystemExit(1)
