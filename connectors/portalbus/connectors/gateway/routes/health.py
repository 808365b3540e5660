"""Is the process alive, can it take events, and what has it counted?"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from portalbus.connectors.gateway.problems import Refusal
from portalbus.connectors.gateway.services import services

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> PlainTextResponse:
    """200 while the process runs; says nothing about the bus."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def ready(request: Request) -> PlainTextResponse:
    """200 when Kafka answers, else 503."""
    trouble = await services(request).readiness.trouble()
    return PlainTextResponse(f"{trouble}\n", 503) if trouble else PlainTextResponse("ok\n")


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The figures, for the operator's network alone: they tell who publishes how much."""
    parts = services(request)
    if not _is_within(request.client.host if request.client else "", parts.settings.metrics_from):
        raise Refusal("gateway.not-for-you")
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _is_within(address: str, networks: str) -> bool:
    try:
        caller = ip_address(address)
    except ValueError:
        return False
    named = [network.strip() for network in networks.split(",")]
    return any(caller in ip_network(network, strict=False) for network in named if network)
