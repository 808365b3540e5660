"""The steps of the ledger, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.steps import LedgerNewer, Run, StepKind, bounds_judged_under

SLICE = 1_000
GROUP_RECORDS = 2_000
READ = """
select step.id, position, after, kind, told, at, judging.version, judging.bounds
from ledger.step join ledger.judging on judging.id = judging where step.id > %s order by step.id limit %s"""
LAST = "select coalesce(max(id), 0) from ledger.step"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the fold, as it was written down."""

    id: int
    position: int
    after: int
    kind: StepKind
    told: Any
    at: datetime
    version: str
    bounds: Bounds

    @property
    def runs(self) -> list[Run]:
        """The records of a step of records."""
        return [Run(*run) for run in self.told]

    @property
    def records(self) -> int:
        """How many records it was given."""
        return sum(run.after - run.first for run in self.runs) if self.kind is StepKind.RECORDS else 0


def last_step(connection: Connection[Any]) -> int:
    """The id of the last step; 0 when there is none."""
    row = connection.execute(LAST).fetchone()
    return int(row[0]) if row else 0


def steps_after(connection: Connection[Any], step_id: int) -> Iterator[Step]:
    """The steps after this one, in order, to the end of the ledger as it moves on. Raises LedgerNewer."""
    while rows := connection.execute(READ, (step_id, SLICE)).fetchall():
        for row in rows:
            step_id, position, after, kind, told, at, version, bounds = row
            yield Step(
                step_id, position, after, _kind(version, kind), told, at, version, bounds_judged_under(version, bounds)
            )


def grouped(steps: Iterator[Step], most: int = GROUP_RECORDS) -> Iterator[list[Step]]:
    """Steps that may be taken in one transaction: a stretch of records under the same bounds, or any other step alone.

    The docket gives the same judgements however records are cut into batches, so fewer and larger ones will do.
    """
    group: list[Step] = []
    records = 0
    for step in steps:
        together = group and step.kind is StepKind.RECORDS and step.bounds == group[0].bounds
        if group and not (together and records + step.records <= most):
            yield group
            group, records = [], 0
        group.append(step)
        records += step.records
        if step.kind is not StepKind.RECORDS:
            yield group
            group, records = [], 0
    if group:
        yield group


def _kind(by: str, kind: str) -> StepKind:
    try:
        return StepKind(kind)
    except ValueError as error:
        raise LedgerNewer(f"version {by} has taken a step that this one does not know ({kind}): use {by}") from error
