"""Everything a request handler may use, built once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from fastapi import Request

from portalbus.connectors.central.accountability import AccountabilityDesk
from portalbus.connectors.central.agency_names import AgencyName, AgencyNames
from portalbus.connectors.central.event_stream import EventStream
from portalbus.connectors.central.feeds.desk import FeedDesk
from portalbus.connectors.central.figures import FiguresDesk
from portalbus.connectors.central.formats import ICT
from portalbus.connectors.central.newsroom import Newsroom
from portalbus.connectors.central.rendering import Templates
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.web.rate_limit import RateLimit, asker_of
from portalbus.streams.reading.pool import Pool
from portalbus.streams.reading.search_shelves import Layouts


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one central portal process."""

    settings: Settings
    pool: Pool
    newsroom: Newsroom
    stream: EventStream
    feeds: FeedDesk
    figures: FiguresDesk
    accountability: AccountabilityDesk
    names: AgencyNames
    templates: Templates
    feedback_limit: RateLimit
    layouts: Layouts = field(default_factory=Layouts)

    def now(self) -> datetime:
        """The time now."""
        return self.settings.clock()

    def today(self) -> date:
        """The day it is in Viet Nam."""
        return self.now().astimezone(ICT).date()

    def agency(self, code: str) -> AgencyName:
        """The name of an agency today."""
        return self.names.name(code, self.today())


def services(request: Request) -> Services:
    """The services of the process that answers this request; a FastAPI dependency."""
    found: Services = request.app.state.services
    return found


def visitor_address(request: Request) -> str:
    """Who asks: the address of the client, as uvicorn worked it out with the trusted proxies; see `asker_of`."""
    return asker_of(request.client.host) if request.client else "unknown"
