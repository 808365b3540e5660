"""The addresses of the API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response

from portalbus.connectors.central.api.models import (
    AgencyAnswer,
    AgencyList,
    DirectiveAnswer,
    DirectiveList,
    FeedbackAnswer,
    SourceAnswer,
    SourceList,
)
from portalbus.connectors.central.case_steps import typed_code
from portalbus.connectors.central.problems import PROBLEM_ANSWERS
from portalbus.connectors.central.services import Services, services, visitor_address
from portalbus.streams.reading.cases import case_by_public_code
from portalbus.streams.reading.directives import Cursor, DirectiveFilter, directive, directives
from portalbus.streams.reading.standing import sources

Parts = Annotated[Services, Depends(services)]
Answers = dict[int | str, dict[str, Any]]
ANYWHERE: Answers = {code: PROBLEM_ANSWERS[code] for code in (422, 503)}
NOT_FOUND: Answers = {404: PROBLEM_ANSWERS[404]}

router = APIRouter(prefix="/api/v1", responses=ANYWHERE)


@router.get("/directives", tags=["directives"], summary="List and search directives")
async def list_directives(
    parts: Parts,
    q: Annotated[
        str, Query(max_length=200, description="Words to find, with or without diacritics; all must occur.")
    ] = "",
    agency: Annotated[str | None, Query(max_length=35, description="Code of the issuing agency, such as H26.")] = None,
    lang: Annotated[str | None, Query(max_length=20, description="Language of the document, such as vi.")] = None,
    withdrawn: Annotated[
        bool, Query(description="Also withdrawn directives; only together with `q` or `agency`.")
    ] = False,
    cursor: Annotated[str | None, Query(max_length=40, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Directives a page.")] = 20,
) -> DirectiveList:
    """Directives that are in force, newest first."""
    text = q.strip()
    if withdrawn and not (text or agency):
        raise HTTPException(422, "withdrawn: name an agency or words to find as well")
    wanted = DirectiveFilter(text, agency, lang, withdrawn)
    after = _cursor(cursor)
    async with parts.pool.connection() as connection:
        return DirectiveList.of(await directives(connection, wanted, after=after, limit=limit))


@router.get("/directives/{agency}/{directive_id}", tags=["directives"], summary="One directive", responses=NOT_FOUND)
async def one_directive(
    parts: Parts,
    agency: Annotated[str, Path(max_length=35, description="Code of the issuing agency.", examples=["G22"])],
    directive_id: Annotated[str, Path(max_length=128, description="The id its portal gave it.")],
) -> DirectiveAnswer:
    """A directive with all its versions, also when it was withdrawn."""
    async with parts.pool.connection() as connection:
        history = await directive(connection, f"{agency}/{directive_id}")
    if history is None:
        raise HTTPException(404, f"there is no directive {agency}/{directive_id}")
    return DirectiveAnswer.of(history)


@router.get(
    "/feedback/{code}",
    tags=["feedback"],
    summary="What became of a feedback",
    responses={**NOT_FOUND, 429: PROBLEM_ANSWERS[429]},
)
async def one_feedback(
    parts: Parts,
    response: Response,
    address: Annotated[str, Depends(visitor_address)],
    code: Annotated[str, Path(max_length=40, description="The public code; hyphens and case do not matter.")],
) -> FeedbackAnswer:
    """State, steps and outcome by public code. The number of look-ups a minute is limited."""
    wait = parts.feedback_limit.seconds_to_wait(address)
    if wait:
        raise HTTPException(429, f"too many look-ups; try again in {wait} seconds", {"Retry-After": str(wait)})
    response.headers["Cache-Control"] = "no-store"
    async with parts.pool.connection() as connection:
        history = await case_by_public_code(connection, typed_code(code))
    if history is None:
        raise HTTPException(404, "there is no feedback with this code: 12 letters and digits, without I, L, O and U")
    return FeedbackAnswer.of(history)


@router.get("/agencies", tags=["agencies"], summary="All current agencies")
async def list_agencies(parts: Parts) -> AgencyList:
    """Every agency of the directory that exists today, with its figures."""
    overview = await parts.figures.overview(parts.names.current(parts.today()))
    return AgencyList(items=[AgencyAnswer.of(line) for line in overview.agencies], complete=overview.complete)


@router.get("/agencies/{code}/sources", tags=["agencies"], summary="The sources of an agency", responses=NOT_FOUND)
async def list_sources(
    parts: Parts, code: Annotated[str, Path(max_length=35, description="Code of the agency.", examples=["H26"])]
) -> SourceList:
    """The portals through which an agency was heard."""
    if not parts.names.known(code):
        raise HTTPException(404, f"there is no agency with the code {code}")
    async with parts.pool.connection() as connection:
        rows = await sources(connection, code)
    return SourceList(items=[SourceAnswer.model_validate(row) for row in rows])


def _cursor(text: str | None) -> Cursor | None:
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise HTTPException(422, f"cursor: {error}") from error
