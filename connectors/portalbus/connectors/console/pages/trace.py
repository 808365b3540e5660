"""The whole way of an event, a case or a directive: what `portalbus trace` prints, as a page."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from portalbus.connectors.central.feeds.addresses import FeedAddress
from portalbus.connectors.console.accounts import Account
from portalbus.connectors.console.office import OfficePage, PageBehindLogin
from portalbus.connectors.tracing.following import follow, follow_feed
from portalbus.connectors.tracing.hints import hint
from portalbus.streams.reading.kafka_times import timed
from portalbus.streams.reading.tracing import Trace

router = APIRouter(prefix="/office", include_in_schema=False)

MOST_CHARACTERS = 2_100
"""The address of a directive on its portal may have 2,000."""
KAFKA_PATIENCE_S = 2.0
"""A page without Kafka's times is better than one that keeps its reader waiting."""


@router.get("/{language}/trace")
async def show_trace(page: PageBehindLogin, id: Annotated[str, Query(max_length=MOST_CHARACTERS)] = "") -> Response:
    """The form, and what the ledger knows of what was asked for."""
    asked = id.strip()
    found = await _found(page, asked) if asked else None
    status = 404 if asked and found is None else 200
    return page.render(
        "office_trace.html",
        here="trace",
        asked=asked,
        trace=found,
        hint=hint(asked),
        most=MOST_CHARACTERS,
        status=status,
    )


async def _found(page: OfficePage, asked: str) -> Trace | None:
    address = FeedAddress.read(asked)
    if address is not None:  # feeds are public
        is_known = address.agency is None or page.services.names.known(address.agency)
        return await follow_feed(page.services.feeds, asked, address) if is_known else None
    found = await page.office.threads.run(lambda connection: follow(connection, asked))
    if found is None or not concerns(found, page.account):
        return None  # that there is such a thing is not for everybody to know
    return await asyncio.to_thread(timed, found, page.services.settings.bootstrap, KAFKA_PATIENCE_S)


def concerns(trace: Trace, account: Account) -> bool:
    """True when an agency sent something of it, or handles or handled the case."""
    case = trace.rows.get("case") or {}
    agencies = {event.agency for event in trace.events} | {case[name] for name in ("receiver", "owner") if name in case}
    return any(account.may_see(agency) for agency in agencies)
