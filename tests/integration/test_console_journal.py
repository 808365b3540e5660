"""The journal of the console says of every step what came of it, or that nobody knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from ledger_facts import one
from portalbus.connectors.console.deciding import Hands, Step
from portalbus.connectors.console.journal import What, begin_deed, deed

STEP = Step(What.ASK, "H26", "because", {"portal": "www"})


@pytest.fixture
def look(ledger_url: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def limit(look: Connection[Any], most: int) -> None:
    """So many may connect to the database, beside those who are."""
    name = sql.Identifier(str(one(look, "select current_database()")))
    look.execute(sql.SQL("alter database {} connection limit {}").format(name, most))


def test_what_came_of_a_step_is_noted_once_the_database_is_back(look: Connection[Any], ledger_url: str) -> None:
    hands = Hands(ledger_url)
    number = hands.begin(look, "an", STEP)
    limit(look, 0)
    try:
        doing = threading.Thread(target=hands.finish, args=(number, "an", STEP), daemon=True)
        doing.start()
        doing.join(2.0)
        assert doing.is_alive(), "it waits for the database"
    finally:
        limit(look, -1)
    doing.join(30)
    done = deed(look, number)
    assert done is not None
    assert (done.outcome, done.ended_at is not None) == ("unreachable", True)


def test_a_step_that_its_process_did_not_live_to_note_is_told_as_unknown(
    look: Connection[Any], ledger_url: str
) -> None:
    lost, under_way = (begin_deed(look, "an", "H26", What.ASK, {}, "because") for _ in range(2))
    look.execute("update console.action set at = now() - interval '1 hour' where id = %s", (lost,))
    Hands(ledger_url).open()
    found = [deed(look, number) for number in (lost, under_way)]
    assert [said.outcome for said in found if said is not None] == ["unknown", None]
