"""Everything a request handler may use, built once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from portalbus.connectors.gateway.documentation import Documentation
from portalbus.connectors.gateway.gate import Gate
from portalbus.connectors.gateway.intake import Intake
from portalbus.connectors.gateway.metrics import Metrics
from portalbus.connectors.gateway.readiness import Readiness
from portalbus.connectors.gateway.reading import VerdictDesk
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.gateway.sources import Sources


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one gateway process."""

    settings: Settings
    gate: Gate
    intake: Intake
    sources: Sources
    verdicts: VerdictDesk
    metrics: Metrics
    readiness: Readiness
    documentation: Documentation


def services(request: Request) -> Services:
    """The services of the process that answers this request."""
    found: Services = request.app.state.services
    return found
