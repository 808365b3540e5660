"""The OpenAPI documents, as the programs themselves serve them; nothing is connected to."""

from __future__ import annotations

from typing import Any


def openapi() -> dict[str, dict[str, Any]]:
    """By name: the central portal and the gateway."""
    from portalbus.connectors.central.app import create_app
    from portalbus.connectors.central.settings import Settings

    central = create_app(Settings("postgresql:///not-connected"))
    return {"central": central.openapi(), "gateway": _gateway()}


def _gateway() -> dict[str, Any]:
    from fastapi import FastAPI

    from portalbus.connectors.gateway.app import DESCRIPTION
    from portalbus.connectors.gateway.described import described
    from portalbus.connectors.gateway.routes import docs, events, health, verdicts

    app = FastAPI(title="portalbus gateway")
    for part in (events, verdicts, health, docs):
        app.include_router(part.router)
    return described(app, DESCRIPTION)
