"""What was done in the console: by whom, when, why, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

COLUMNS = "id, account, agency, what, about, why, at, ended_at, outcome, figures"


class What(StrEnum):
    """The steps that the console offers."""

    REDRIVE = "redrive"
    DISCARD = "discard"
    CLOSE_GAP = "close-gap"
    ASK = "ask"
    RECONCILE = "reconcile"
    ASSIGN = "assign"
    BLOCK = "block"
    UNBLOCK = "unblock"


@dataclass(frozen=True, slots=True)
class Deed:
    """One action. `outcome` is None while it is under way; `figures` fill the places in its text."""

    id: int
    account: str
    agency: str
    what: str
    about: dict[str, Any]
    why: str
    at: datetime
    ended_at: datetime | None
    outcome: str | None
    figures: dict[str, Any] | None


def begin_deed(
    connection: Connection[Any], account: str, agency: str, what: What, about: dict[str, Any], why: str
) -> int:
    """Notes that somebody does something, before it is done; returns its number."""
    row = connection.execute(
        "insert into console.action (account, agency, what, about, why) values (%s, %s, %s, %s, %s) returning id",
        (account, agency, what.value, Jsonb(about), why),
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    return int(row[0])


def end_deed(connection: Connection[Any], number: int, outcome: str, figures: dict[str, Any]) -> None:
    """Notes what came of it."""
    connection.execute(
        "update console.action set ended_at = now(), outcome = %s, figures = %s where id = %s",
        (outcome, Jsonb(figures), number),
    )


def end_lost_deeds(connection: Connection[Any]) -> int:
    """Notes that nobody knows what came of steps that have been under way for longer than any takes; how many."""
    return connection.execute(
        "update console.action set ended_at = now(), outcome = 'unknown', figures = '{}'"
        " where ended_at is null and at < now() - interval '15 minutes'"
    ).rowcount


def deed(connection: Connection[Any], number: int) -> Deed | None:
    """One action; None for a number that none has."""
    with connection.cursor(row_factory=class_row(Deed)) as cursor:
        return cursor.execute(f"select {COLUMNS} from console.action where id = %s", (number,)).fetchone()


def deeds(connection: Connection[Any], agency: str | None, limit: int = 20) -> list[Deed]:
    """What was done for an agency, or for all, the newest first."""
    with connection.cursor(row_factory=class_row(Deed)) as cursor:
        return cursor.execute(
            f"select {COLUMNS} from console.action where %(agency)s::text is null or split_part(agency, '.', 1)"
            " = %(agency)s order by id desc limit %(limit)s",
            {"agency": agency, "limit": limit},
        ).fetchall()
