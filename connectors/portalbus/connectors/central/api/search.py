"""`/api/v1/search`: what the search page finds, for programs."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from portalbus.connectors.central.api.models import DirectiveSummary
from portalbus.connectors.central.bodies import plain_text
from portalbus.connectors.central.highlight import SearchWords, marked, snippet
from portalbus.connectors.central.problems import PROBLEM_ANSWERS
from portalbus.connectors.central.services import Services, services
from portalbus.streams.reading.answers import AnswerRow, answers_of
from portalbus.streams.reading.directives import DirectiveRow, directives_of, excerpts
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.search_shelves import ANSWERS, DIRECTIVES, Asked
from portalbus.streams.reading.searching import MOST, search

router = APIRouter(prefix="/api/v1", responses={code: PROBLEM_ANSWERS[code] for code in (422, 503)})

MARKED = "HTML: the text with what was searched for in `<mark>`, everything else escaped."


class FoundDirective(BaseModel):
    """A directive that matches, at its newest version."""

    directive: DirectiveSummary
    title: str = Field(description=MARKED)
    excerpt: str = Field(description=f"About 240 characters around the first word found. {MARKED}")


class FoundAnswer(BaseModel):
    """A public answer that matches; nothing of what was asked."""

    event_id: str = Field(description="The event that gave it; its page is `/<language>/answers/<event_id>`.")
    agency: str
    regime: str
    outcome: str | None
    answered_on: date
    excerpt: str = Field(description=f"About 240 characters around the first word found. {MARKED}")


class Found(BaseModel):
    """What was found, the best first."""

    directives: list[FoundDirective] = []
    answers: list[FoundAnswer] = []
    more: bool = Field(description=f"Whether others follow; of more than {MOST} the rest is left out.")


@router.get("/search", tags=["search"], summary="Search directives and public answers")
async def find(
    parts: Annotated[Services, Depends(services)],
    q: Annotated[
        str, Query(max_length=200, description="Words, with or without diacritics; or a number such as 15/CT-TTg.")
    ] = "",
    among: Annotated[Literal["directives", "answers"], Query(description="What is searched.")] = "directives",
    agency: Annotated[str | None, Query(max_length=35, description="Code of the agency, such as H26.")] = None,
    type: Annotated[str | None, Query(max_length=20, description="Document type; of answers the regime.")] = None,
    field: Annotated[str | None, Query(max_length=100, description="Field of government work.")] = None,
    lang: Annotated[str | None, Query(max_length=20, description="Language of the text, such as vi.")] = None,
    since: Annotated[date | None, Query(description="Issued or answered on this day or later.")] = None,
    until: Annotated[date | None, Query(description="Issued or answered on this day or earlier.")] = None,
    withdrawn: Annotated[bool, Query(description="Also withdrawn directives.")] = False,
    skip: Annotated[int, Query(ge=0, le=MOST, description="How many of the best to leave out.")] = 0,
    limit: Annotated[int, Query(ge=1, le=50, description="How many to give.")] = 20,
) -> Found:
    """What has every word: by number first, then by title, then by text; of equals the newest."""
    asked = Asked(q.strip(), agency, type, field, lang, since, until, withdrawn)
    shelf = ANSWERS if among == "answers" else DIRECTIVES
    words = SearchWords.of(asked.text)
    async with parts.pool.connection() as connection:
        found = await search(connection, parts.layouts, shelf, asked, skip=skip, limit=limit)
        if among == "answers":
            rows = await answers_of(connection, found.keys)
            return Found(answers=[_answer(row, words) for row in rows], more=found.more)
        return Found(directives=await _directives(connection, found.keys, words), more=found.more)


async def _directives(connection: Connection, keys: tuple[str, ...], words: SearchWords) -> list[FoundDirective]:
    rows = await directives_of(connection, keys)
    texts = await excerpts(connection, rows) if rows else {}
    return [_directive(row, texts[row.key], words) for row in rows if row.key in texts]


def _directive(row: DirectiveRow, text: tuple[str, str], words: SearchWords) -> FoundDirective:
    return FoundDirective(
        directive=DirectiveSummary.model_validate(row),
        title=str(marked(row.title, words)),
        excerpt=str(snippet(plain_text(*text), words)),
    )


def _answer(row: AnswerRow, words: SearchWords) -> FoundAnswer:
    return FoundAnswer(
        event_id=row.event_id,
        agency=row.agency,
        regime=row.regime,
        outcome=row.outcome,
        answered_on=row.answered_at.date(),
        excerpt=str(snippet(row.text, words)),
    )
