"""Feeds per agency, event type and language of the documents, in the language of the page."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from portalbus.connectors.central.event_stream import TYPES
from portalbus.connectors.central.feeds.addresses import feed_query
from portalbus.connectors.central.feeds.composing import Composer
from portalbus.connectors.central.feeds.feed import Feed
from portalbus.connectors.central.feeds.keeping import MadeFeed
from portalbus.connectors.central.feeds.xml_writing import MEDIA_TYPES, written
from portalbus.connectors.central.pages.page import Page, PageAsked

router = APIRouter(include_in_schema=False)

MOST_ENTRIES = 100
OPEN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


@router.api_route("/{language}/feed.{form}", methods=["GET", "HEAD"])
async def show_feed(
    page: PageAsked,
    form: str,
    agency: Annotated[str, Query(max_length=35)] = "",
    type: Annotated[str, Query(max_length=40)] = "",
    lang: Annotated[str, Query(max_length=20, pattern=r"^([a-zA-Z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")] = "",
) -> Response:
    """An Atom or RSS feed; 304 when the reader has it already."""
    event_type = type or "DirectivePublished"
    if form not in MEDIA_TYPES or (agency and not page.services.names.known(agency)) or event_type not in TYPES:
        raise HTTPException(404, "there is no feed at this address")
    base = (page.services.settings.public_url or str(page.request.base_url)).rstrip("/")
    asked = feed_query(event_type, agency or None, lang or None)
    address = f"{base}/{page.language}/feed.{form}{asked}"
    kept = page.services.feeds.kept
    made = kept.fresh(address)
    if made is None:
        feed = await _feed(page, base, event_type, agency or None, lang or None)
        made = kept.put(address, written(feed, form), page.services.now())
    headers = {
        "ETag": made.etag,
        "Last-Modified": format_datetime(made.since.astimezone(UTC), usegmt=True),
        "Cache-Control": "no-cache",
        **OPEN,
    }
    if _has_it(page, made, headers["Last-Modified"]):
        return Response(status_code=304, headers=headers)
    return Response(made.content, media_type=f"{MEDIA_TYPES[form]}; charset=utf-8", headers=headers)


async def _feed(page: Page, base: str, event_type: str, agency: str | None, language: str | None) -> Feed:
    composer = Composer(page, base)
    desk = page.services.feeds
    if event_type == "DirectivePublished":
        rows, texts = await desk.directives(agency, language, MOST_ENTRIES)
        entries = tuple(composer.directive(row, texts.get(row.key)) for row in rows)
    else:
        entries = tuple(composer.feedback(row) for row in await desk.feedback(event_type, agency, MOST_ENTRIES))
    return composer.feed(event_type, agency, language, entries)


def _has_it(page: Page, made: MadeFeed, last_modified: str) -> bool:
    """True when the reader's copy is this one (RFC 9110 13.2.2). A date counts only when it is the very one given."""
    headers = page.request.headers
    if (tags := headers.get("if-none-match")) is not None:
        known = {tag.strip() for tag in tags.split(",")}
        return bool(known & {made.etag, made.etag.removeprefix("W/"), "*"})
    return headers.get("if-modified-since") == last_modified
