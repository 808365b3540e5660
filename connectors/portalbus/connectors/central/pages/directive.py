"""One directive with all its versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.pages.page import Page, PageAsked
from portalbus.connectors.central.rendering import directive_path
from portalbus.schemas.models import Relation
from portalbus.streams.reading.directives import directive, existing_keys
from portalbus.streams.reading.pool import Connection

router = APIRouter(include_in_schema=False)


@router.get("/{language}/directives/{agency}/{directive_id}")
async def show_directive(
    page: PageAsked, agency: str, directive_id: str, version: Annotated[int | None, Query(ge=1)] = None
) -> HTMLResponse:
    """The newest version, or the one asked for; of a withdrawn directive the text that was last in force."""
    async with page.services.pool.connection() as connection:
        history = await directive(connection, f"{agency}/{directive_id}")
        if history is None:
            raise HTTPException(404, "no such directive")
        shown = history.version(version)
        if shown is None:
            raise HTTPException(404, "no such version")
        readable = history.readable if version is None and history.row.withdrawn else shown
        links = await _links(connection, page, agency, readable.document.relations)
    newest = history.versions[-1]
    return page.render(
        "directive.html",
        here="directives",
        row=history.row,
        versions=history.versions,
        shown=readable,
        document=readable.document,
        newest=newest,
        withdrawal=newest.document if history.row.withdrawn else None,
        is_older=version is not None and version != newest.version,
        links=links,
    )


async def _links(connection: Connection, page: Page, agency: str, relations: tuple[Relation, ...]) -> dict[str, str]:
    """Targets of relations that are directives here, with their addresses.

    A target is a directive's key, its id alone (of the same agency), or a number as printed.
    """
    keys = {relation.target: relation.target for relation in relations if "/" in relation.target}
    keys |= {relation.target: f"{agency}/{relation.target}" for relation in relations if "/" not in relation.target}
    if not keys:
        return {}
    here = await existing_keys(connection, list(keys.values()))
    return {target: directive_path(page.language, key) for target, key in keys.items() if key in here}
