"""Accountability figures as open data."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

from portalbus.connectors.central.accountability import LONGEST_PERIOD_DAYS, as_csv
from portalbus.connectors.central.api.models import Answer
from portalbus.connectors.central.api.routes import ANYWHERE, Parts
from portalbus.streams.reading.accountability import Figures, GroupBy, Wanted, as_plain

router = APIRouter(prefix="/api/v1", responses=ANYWHERE, tags=["figures"])

Since = Annotated[date | None, Query(alias="from", description="First day of receipt; by default this year's first.")]
Until = Annotated[date | None, Query(alias="to", description="Last day of receipt; by default today.")]
Agency = Annotated[str | None, Query(max_length=35, description="Only this agency and its units, such as H26.")]
By = Annotated[
    list[GroupBy] | None, Query(description="What to group by, again for each: agency, level, field, regime, month.")
]


class FiguresAnswer(Answer):
    """What became of the handlings of one group. on_time to split add up to received; a refusal is an answer."""

    agency: str | None = None
    level: str | None = Field(None, description="L0 Government Portal, L1 ministry or province, L2 unit or commune.")
    field: str | None = None
    regime: str | None = None
    month: str | None = Field(None, examples=["2026-11"])
    received: int = Field(description="Times that a body received a case: one that is passed on is received again.")
    on_time: int
    late: int
    open: int = Field(description="Not answered, not due.")
    overdue: int = Field(description="Due, not answered.")
    transferred: int
    diverted: int
    withdrawn: int
    split: int
    refused: int
    told_late: int = Field(description="On time as the agency says; the centre heard of it after it was due.")
    without_term: int = Field(description="Under a regime that has no term for an answer.")
    passed_on_late: int
    published_late: int
    progress_missed: int = Field(
        description="Notices of progress that were due after an answer's term and did not come."
    )
    climbs: int = Field(description="Levels that urgent cases climbed because nobody acknowledged them.")
    returned: int = Field(description="Answers that the centre returned as unsuitable.")
    extended: int
    reopened: int
    ratings: int
    satisfaction: float | None = Field(description="Mean of the ratings, 1 to 5.")
    refusals: dict[str, int] = Field(description="Refusals by reason code.")


class FiguresList(Answer):
    """The figures of a period."""

    first: date
    last: date
    items: list[FiguresAnswer]


@router.get("/figures", summary="Accountability figures")
async def list_figures(
    parts: Parts, since: Since = None, until: Until = None, agency: Agency = None, by: By = None
) -> FiguresList:
    """What became of the cases received in a period: on time, overdue, refused by reason, passed on, returned."""
    wanted = wanted_figures(since, until, parts.today(), agency, by)
    found = await parts.accountability.figures(wanted)
    return FiguresList(first=wanted.first, last=wanted.last, items=[_answer(one) for one in found])


AS_CSV: dict[str, Any] = {"description": "A line a group.", "content": {"text/csv": {"schema": {"type": "string"}}}}


@router.get("/figures.csv", summary="Accountability figures as CSV", response_class=Response, responses={200: AS_CSV})
async def figures_as_csv(
    parts: Parts, since: Since = None, until: Until = None, agency: Agency = None, by: By = None
) -> Response:
    """The same as CSV, a line a group."""
    found = await parts.accountability.figures(wanted_figures(since, until, parts.today(), agency, by))
    return Response(as_csv(found), media_type="text/csv; charset=utf-8")


def wanted_figures(
    since: date | None, until: date | None, today: date, agency: str | None, by: list[GroupBy] | None
) -> Wanted:
    """What is asked for. Raises HTTPException for a period that is none."""
    first, last = since or date((until or today).year, 1, 1), until or today
    if last < first:
        raise HTTPException(422, f"to: {last} lies before {first}")
    if (last - first).days > LONGEST_PERIOD_DAYS:
        raise HTTPException(422, f"from: at most {LONGEST_PERIOD_DAYS} days at once")
    return Wanted(first, last, agency or None, tuple(dict.fromkeys(by or [GroupBy.AGENCY])))


def _answer(one: Figures) -> FiguresAnswer:
    plain: dict[str, Any] = as_plain(one)
    return FiguresAnswer.model_validate(plain)
