"""The table of legal dates as what agencies say: each row is a case of its own."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from bus_events import answer, receipt
from portalbus.producers.testing import a_step
from portalbus.schemas.models import CaseStep, Outcome, Payload, RefusalReason
from portalbus.schemas.zone import ZONE

TABLE = Path(__file__).parents[1] / "data" / "legal_dates.csv"
ROWS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
"""Each with its arithmetic, so that a person can check it by hand."""


def noon(day: str) -> datetime:
    """Noon of a day in Viet Nam."""
    return datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=ZONE)


def case_of(row: dict[str, str]) -> str:
    """The id of a row's case."""
    return f"H26-row-{row['number']}"


def said_of(row: dict[str, str]) -> Iterator[tuple[datetime, Payload]]:
    """Everything that is said of a row's case, with when, in no order."""
    case = case_of(row)
    received = datetime.fromisoformat(row["received"]).replace(tzinfo=ZONE)
    yield received, receipt(case, int(row["number"]), regime=row["regime"], received_at=received)
    for first, last in _pairs(row["paused"]):
        yield noon(first), a_step(case, CaseStep.CLARIFICATION_ASKED, at=noon(first))
        yield noon(last), a_step(case, CaseStep.CLARIFICATION_GIVEN, at=noon(last))
    for told, until in _pairs(row["extended"]):
        yield noon(told), a_step(case, CaseStep.EXTENDED, at=noon(told), due_on=date.fromisoformat(until))
    for day in filter(None, row["notices"].split(",")):
        yield noon(day.strip()), a_step(case, CaseStep.PROGRESS_TOLD, at=noon(day.strip()))
    if row["answered"]:
        yield noon(row["answered"]), answer(case, answered_at=noon(row["answered"]))
    if row["duty"] == "REFUSE":
        at = noon(row["due_on"])
        refused = {"outcome": Outcome.REJECTED, "answer": None, "reason_code": RefusalReason.DUPLICATE}
        words = {"reason_text": "Nội dung trùng với phản ánh đã trả lời.", "legal_basis": "Luật Tiếp công dân 2013"}
        yield at, answer(case, answered_at=at, **refused, **words)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, text.split(",")):
        first, last = pair.split()
        yield first, last
