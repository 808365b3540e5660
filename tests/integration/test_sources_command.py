"""`portalbus sources`: an operator blocks a source with a reason; it alone is refused, until it may speak again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bus_events import Lane, directive, writers
from ledger_facts import rows
from memory_ledger import directory
from portalbus.infra.cli.app import run
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.rebuilding.fold_tables import FOLD

WHY = "the server was broken into"


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        names = ", ".join(f'ledger."{table.name}"' for table in FOLD)
        connection.execute(f"truncate {names}, ledger.step, ledger.source_blocking restart identity")
        connection.execute("update ledger.position set next = 1")
        yield connection


@pytest.fixture
def ledger(ledger_url: str, look: psycopg.Connection[Any]) -> Iterator[Ledger]:
    made = Ledger(ledger_url, writers(), directory())
    made.open_lanes(["H26", "H29"])
    yield made
    made.close()


def test_a_source_is_blocked_and_unblocked_with_a_reason(
    ledger: Ledger, ledger_url: str, look: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--database-url", ledger_url, "--json"]

    def sources(*words: str) -> tuple[int, str]:
        status = run(["sources", *words, *where])
        return status, capsys.readouterr().out

    assert sources("list") == (0, "[]\n")
    lane, other = Lane("H26"), Lane("H29")
    ledger.take_in([lane.say(directive("d-1")), lane.say(directive("e-1"), portal="edu"), other.say(directive("d-1"))])
    decide = ("H26", "www", "--who", "lan", "--why")
    assert sources("block", *decide, " ")[0] == 2
    assert sources("block", "H26", "nobody", "--why", WHY)[0] == 1
    assert sources("unblock", *decide, WHY)[0] == 1, "it is not blocked"
    assert sources("block", *decide, WHY) == (0, '{"agency": "H26", "portal": "www", "status": "blocked"}\n')
    assert sources("block", *decide, WHY)[0] == 1, "it is blocked"
    status, said = sources("list", "--blocked")
    (listed,) = json.loads(said)
    assert (status, listed["agency"], listed["decided_by"], listed["why"]) == (1, "H26", "lan", WHY)
    refused = lane.say(directive("d-2"))
    ledger.take_in([refused, lane.say(directive("d-3"), portal="edu"), other.say(directive("d-2"))])
    assert sources("unblock", *decide, "the server was set up anew")[0] == 0
    ledger.take_in([lane.again(refused)])
    of_it = "select key, rule from ledger.event where agency = 'H26' and portal = 'www' order by lane_offset"
    assert rows(look, of_it) == [
        ("H26/d-1", "event.accepted"),
        ("H26/d-2", "source.blocked"),
        ("H26/d-2", "event.accepted"),
    ]
    assert sources("list", "--blocked") == (0, "[]\n")
    assert len(json.loads(sources("list")[1])) == 3


def test_only_the_blocked_source_notices(ledger: Ledger, ledger_url: str, look: psycopg.Connection[Any]) -> None:
    lane, other = Lane("H26"), Lane("H29")
    ledger.take_in([lane.say(directive("d-1")), lane.say(directive("d-2"), portal="edu"), other.say(directive("d-1"))])
    assert run(["sources", "block", "H26", "www", "--why", WHY, "--database-url", ledger_url]) == 0
    said = [lane.say(directive("d-3")), lane.say(directive("d-4"), portal="edu"), other.say(directive("d-2"))]
    ledger.take_in(said)
    assert rows(look, "select portal, rule from ledger.event where lane_offset > 0 order by agency, lane_offset") == [
        ("edu", "event.accepted"),
        ("www", "source.blocked"),
        ("edu", "event.accepted"),
        ("www", "event.accepted"),
    ]


def test_a_source_is_listed_with_how_it_is_heard(
    ledger: Ledger, ledger_url: str, look: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive(f"d-{portal}"), portal=portal) for portal in ("edu", "new", "tax", "www")])
    look.execute(
        "insert into ledger.cadence (agency, portal, event_type, memory, last_heard_at, state, state_since) values"
        " ('H26', 'www', '', '{}', now(), 'ok', now()),"
        " ('H26', 'www', 'FeedbackReceived', '{}', now(), 'late', '2026-11-20 05:00+00'),"
        " ('H26', 'edu', '', '{}', now(), 'silent', '2026-11-21 05:00+00'),"
        " ('H26', 'tax', '', '{}', now(), 'quiet', '2026-11-22 05:00+00')"
    )
    where = ["--database-url", ledger_url]
    assert run(["sources", "list", "--agency", "h26", "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    heard_first = rows(look, "select first_heard_at from ledger.source where portal = 'new'")[0][0].isoformat()
    assert {one["portal"]: (one["status"], one["state"], one["state_since"]) for one in said} == {
        "edu": ("active", "silent", "2026-11-21T05:00:00+00:00"),
        "new": ("active", "ok", heard_first),
        "tax": ("active", "quiet", "2026-11-22T05:00:00+00:00"),
        "www": ("active", "late", "2026-11-20T05:00:00+00:00"),
    }
    assert run(["sources", "block", "H26", "edu", "--why", WHY, *where]) == 0
    capsys.readouterr()
    assert run(["sources", "list", *where]) == 1
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "late since 2026-11-20" in shown["H26/www"]
    assert "quiet since 2026-11-22" in shown["H26/tax"]
    assert "ok since" in shown["H26/new"]
    assert "blocked since" in shown["H26/edu"]
    assert "silent" not in shown["H26/edu"], "a blocked source is not expected to speak"
