"""Runs the central portal as a process of its own."""

from __future__ import annotations

import uvicorn

from portalbus.connectors.central.app import create_app
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.web.serving import GRACE_S, serve_until_asked


def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; then lets requests that are under way end, for 5 s at most.

    To be called in the main thread. Raises SystemExit(1) when the address is in use.
    """
    config = uvicorn.Config(
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
    serve_until_asked("central", config)
