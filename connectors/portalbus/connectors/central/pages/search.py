"""Search: directives and public answers, the best first; nothing asked for gives all directives, the newest first."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from portalbus.connectors.central.bodies import plain_text
from portalbus.connectors.central.document_types import document_type_codes
from portalbus.connectors.central.highlight import SearchWords, marked, snippet
from portalbus.connectors.central.language import DOCUMENT_LANGUAGES
from portalbus.connectors.central.pages.page import Page, PageAsked
from portalbus.streams.reading.answers import AnswerRow, answers_of
from portalbus.streams.reading.directives import (
    Cursor,
    DirectiveFilter,
    DirectiveRow,
    directives,
    directives_of,
    excerpts,
    known_fields,
)
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.search_shelves import ANSWERS, DIRECTIVES, Asked
from portalbus.streams.reading.searching import MOST, search

router = APIRouter(include_in_schema=False)

MAX_TEXT = 200
SHOWN = 20
FIRST_ANSWERS = 3
Card = tuple[DirectiveRow, Markup, Markup, Markup]
Day = Annotated[str, Query(max_length=10)]


@router.get("/{language}/search")
async def show_search(
    page: PageAsked,
    q: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    agency: Annotated[str, Query(max_length=35)] = "",
    type: Annotated[str, Query(max_length=20)] = "",
    field: Annotated[str, Query(max_length=100)] = "",
    lang: Annotated[str, Query(max_length=20)] = "",
    since: Day = "",
    until: Day = "",
    withdrawn: bool = False,
    answers: bool = False,
    after: Annotated[str, Query(max_length=40)] = "",
    part: Annotated[int, Query(ge=1, le=MOST // SHOWN)] = 1,
) -> HTMLResponse:
    """What matches every word typed: by number, then by title, then by text, of equals the newest."""
    text = q.strip()
    days = _day(since), _day(until)
    asked = Asked(text, agency or None, type or None, field or None, lang or None, *days, withdrawn)
    given = {
        "q": text,
        "agency": agency,
        "type": type,
        "field": field,
        "lang": lang,
        "since": since if days[0] else "",
        "until": until if days[1] else "",
        "withdrawn": "1" if withdrawn else "",
        "answers": "1" if answers else "",
    }
    async with page.services.pool.connection() as connection:
        fields = await known_fields(connection)
        found = _Results(page, asked, given)
        if answers:
            await found.look_for_answers(connection, (part - 1) * SHOWN, SHOWN)
        elif any((text, agency, type, field, lang, *days)):
            await found.look_for_directives(connection, (part - 1) * SHOWN)
            if text:
                await found.look_for_answers(connection, 0, FIRST_ANSWERS)
        else:
            await found.list_directives(connection, after)
    return page.render(
        "search.html",
        here="search",
        found=found,
        asked=given,
        part=part,
        agencies=page.services.names.current(page.services.today()),
        types=document_type_codes(),
        fields=fields,
        document_languages=list(dict.fromkeys([*DOCUMENT_LANGUAGES, *([lang] if lang else [])])),
        next_page=found.next_page(part),
        first_page=_address(page.language, given) if part > 1 or after else None,
        is_filtered=any(value for name, value in given.items() if name not in ("q", "answers")),
        most=MOST,
    )


class _Results:
    """What one search has found, ready to be shown."""

    def __init__(self, page: Page, asked: Asked, given: dict[str, str]) -> None:
        self._page = page
        self._asked = asked
        self._given = given
        self._words = SearchWords.of(asked.text)
        self.cards: list[Card] = []
        self.answers: list[tuple[AnswerRow, Markup]] = []
        self.ranked = False
        self.more = self.more_answers = self.bad_cursor = False
        self._cursor: Cursor | None = None

    async def look_for_directives(self, connection: Connection, skip: int) -> None:
        """The directives that match best."""
        layouts = self._page.services.layouts
        found = await search(connection, layouts, DIRECTIVES, self._asked, skip=skip, limit=SHOWN)
        self.ranked, self.more = True, found.more
        await self._show(connection, await directives_of(connection, found.keys))

    async def look_for_answers(self, connection: Connection, skip: int, limit: int) -> None:
        """The public answers that match; of what narrows directives only agency, language and days count for them."""
        asked = self._asked
        wanted = Asked(asked.text, asked.agency, None, None, asked.language, asked.since, asked.until)
        found = await search(connection, self._page.services.layouts, ANSWERS, wanted, skip=skip, limit=limit)
        rows = await answers_of(connection, found.keys)
        self.more_answers = found.more
        self.answers = [(row, snippet(row.text, self._words)) for row in rows]

    async def list_directives(self, connection: Connection, after: str) -> None:
        """All directives, the newest publication first."""
        try:
            cursor = Cursor.parse(after) if after else None
        except ValueError:
            self.bad_cursor, cursor = True, None
        found = await directives(connection, DirectiveFilter(), after=cursor, limit=SHOWN)
        self._cursor = found.next
        await self._show(connection, found.rows)

    def next_page(self, part: int) -> str | None:
        """The address of what follows; None on the last page."""
        if self._cursor is not None:
            return _address(self._page.language, self._given, after=str(self._cursor))
        more = self.more_answers if self._given["answers"] else self.more
        return _address(self._page.language, self._given, part=str(part + 1)) if more else None

    async def _show(self, connection: Connection, rows: tuple[DirectiveRow, ...]) -> None:
        texts = await excerpts(connection, rows) if rows else {}
        words = self._words
        self.cards = [
            (row, marked(row.title, words), marked(row.number, words), snippet(plain_text(*texts[row.key]), words))
            for row in rows
            if row.key in texts
        ]


def _day(text: str) -> date | None:
    """A day as a date field sends it; None for nothing, and for what is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _address(language: str, given: dict[str, str], **more: str) -> str:
    kept = {name: value for name, value in {**given, **more}.items() if value}
    return f"/{language}/search?{urlencode(kept)}" if kept else f"/{language}/search"
