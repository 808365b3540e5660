"""Search with filters, page by page."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.bodies import plain_text
from portalbus.connectors.central.highlight import SearchWords, marked, snippet
from portalbus.connectors.central.language import DOCUMENT_LANGUAGES
from portalbus.connectors.central.pages.page import PageAsked
from portalbus.streams.reading.directives import Cursor, DirectiveFilter, directives, excerpts

router = APIRouter(include_in_schema=False)

MAX_TEXT = 200


@router.get("/{language}/search")
async def search(
    page: PageAsked,
    q: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    agency: Annotated[str, Query(max_length=35)] = "",
    lang: Annotated[str, Query(max_length=20)] = "",
    withdrawn: bool = False,
    after: Annotated[str, Query(max_length=40)] = "",
) -> HTMLResponse:
    """Directives that hold every word typed, newest first; all of them when nothing was typed."""
    text = q.strip()
    narrowed = bool(text or agency)
    wanted = DirectiveFilter(text, agency or None, lang or None, withdrawn and narrowed)
    cursor, bad_cursor = _cursor(after)
    async with page.services.pool.connection() as connection:
        found = await directives(connection, wanted, after=cursor)
        texts = await excerpts(connection, found.rows) if found.rows else {}
    words = SearchWords.of(text)
    asked = {"q": text, "agency": agency, "lang": lang, "withdrawn": "1" if withdrawn else ""}
    return page.render(
        "search.html",
        here="search",
        results=[
            (row, marked(row.title, words), marked(row.number, words), snippet(plain_text(*texts[row.key]), words))
            for row in found.rows
            if row.key in texts
        ],
        asked=asked,
        agencies=page.services.names.current(page.services.today()),
        document_languages=list(dict.fromkeys([*DOCUMENT_LANGUAGES, *([lang] if lang else [])])),
        next_page=_address(page.language, asked, str(found.next)) if found.next else None,
        first_page=_address(page.language, asked) if cursor else None,
        is_filtered=bool(agency or lang or withdrawn),
        bad_cursor=bad_cursor,
    )


def _cursor(text: str) -> tuple[Cursor | None, bool]:
    """The place to go on from, and whether the address holds one that is none."""
    if not text:
        return None, False
    try:
        return Cursor.parse(text), False
    except ValueError:
        return None, True


def _address(language: str, asked: dict[str, str], after: str = "") -> str:
    kept = {name: value for name, value in {**asked, "after": after}.items() if value}
    return f"/{language}/search?{urlencode(kept)}" if kept else f"/{language}/search"
