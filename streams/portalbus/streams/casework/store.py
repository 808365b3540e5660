"""The tables of casework: lives in, rows out, a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection
from pydantic import TypeAdapter

from portalbus.streams.casework.deriving import DeadlineRow, EscalationKind, EscalationRow, HandlingRow, Rows
from portalbus.streams.casework.life import Life
from portalbus.streams.casework.routing import RoutingRow

LIFE = TypeAdapter(Life)
FOLD = 2
"""Which code folds: lives that another one has folded are folded anew."""
DERIVED = (("handling", HandlingRow), ("deadline", DeadlineRow), ("escalation", EscalationRow))

UPSERT_CASES = """
insert into casework.case (case_id, owner, urgency, state, position, life)
select case_id, owner, urgency, state, position, life from json_to_recordset(%s)
    as row (case_id text, owner text, urgency text, state text, position int8, life jsonb)
on conflict (case_id) do update set owner = excluded.owner, urgency = excluded.urgency, state = excluded.state,
    position = excluded.position, life = excluded.life"""


ROUTED = """
insert into casework.routing (case_id, named, suggested, rules, differs, law)
select case_id, named, suggested, rules, differs, law from json_to_recordset(%s)
    as row (case_id text, named text, suggested text, rules text[], differs bool, law int8)
on conflict (case_id) do update set named = excluded.named, suggested = excluded.suggested, rules = excluded.rules,
    differs = excluded.differs, law = excluded.law"""
PARENTS = """
select distinct case_id from ledger.case_step where step = 'SPLIT' and document->'children' ?| %s::text[]"""
ESCALATIONS = """
select kind, case_id, handling, duty, number, told_to, at, closed_at from casework.escalation
where case_id = any(%s)"""


def read_lives(connection: Connection[Any], case_ids: Collection[str]) -> dict[str, tuple[Life, int]]:
    """The lives of these cases as far as they are folded, with the position of the last event of each."""
    rows = connection.execute(
        "select case_id, life::text, position from casework.case where case_id = any(%s)", (sorted(case_ids),)
    )
    return {case_id: (LIFE.validate_json(life), position) for case_id, life, position in rows}


def write_lives(connection: Connection[Any], lives: Iterable[tuple[Life, int]]) -> None:
    """Keeps lives, each with the position of its last event."""
    rows = [
        {
            "case_id": life.case_id,
            "owner": life.now.agency,
            "urgency": "URGENT" if life.urgent else "NORMAL",
            "state": life.state,
            "position": position,
            "life": LIFE.dump_python(life, mode="json"),
        }
        for life, position in lives
    ]
    if rows:
        connection.execute(UPSERT_CASES, (json.dumps(rows, ensure_ascii=False),))


def write_rows(connection: Connection[Any], derived: Sequence[Rows]) -> set[EscalationKind]:
    """Puts the rows of these cases in the place of those that were there; returns which escalations changed."""
    if not derived:
        return set()
    cases = [rows.life.case_id for rows in derived]
    before = set(connection.execute(ESCALATIONS, (cases,)))
    for table, kind in DERIVED:
        found = [row for rows in derived for row in getattr(rows, f"{table}s")]
        connection.execute(f"delete from casework.{table} where case_id = any(%s)", (cases,))
        if found:
            columns = ", ".join(kind._fields)
            with connection.cursor().copy(f"copy casework.{table} ({columns}) from stdin") as copy:
                for row in found:
                    copy.write_row(row)
    return {EscalationKind(row[0]) for row in before ^ set(connection.execute(ESCALATIONS, (cases,)))}


def write_routings(connection: Connection[Any], rows: Iterable[RoutingRow]) -> None:
    """Keeps what the rules of competence say of cases that were received."""
    said = [row._asdict() for row in rows]
    if said:
        connection.execute(ROUTED, (json.dumps(said),))


def read_received(connection: Connection[Any], lives: Iterable[Life]) -> dict[str, datetime]:
    """When the centre heard of the children of these lives, as far as it did."""
    children = {child for life in lives for child in life.children}
    if not children:
        return {}
    found = connection.execute(
        "select case_id, (life->>'heard')::timestamptz from casework.case where case_id = any(%s)", (sorted(children),)
    )
    return dict(found.fetchall())


def parents_of(connection: Connection[Any], case_ids: Collection[str]) -> list[str]:
    """The cases that were split into any of these."""
    if not case_ids:
        return []
    found = connection.execute(PARENTS, (sorted(case_ids),))
    return [case_id for (case_id,) in found]


def forget_cases(connection: Connection[Any], case_ids: Collection[str]) -> None:
    """Forgets cases and all that follows from them: what is folded of them next is folded from their beginning."""
    for table in ("case", "handling", "deadline", "escalation", "routing"):
        connection.execute(f"delete from casework.{table} where case_id = any(%s)", (sorted(case_ids),))


def forget_everything(connection: Connection[Any]) -> None:
    """Empties every table that is a fold: what follows folds the ledger anew. The record of the law stays."""
    connection.execute(
        "truncate casework.case, casework.handling, casework.deadline, casework.escalation, casework.routing,"
        " casework.ahead"
    )
    connection.execute("update casework.place set position = 0, urgent = 0, law = 0, fold = %s", (FOLD,))
