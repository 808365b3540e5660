"""`portalbus gaps` on a ledger: what is closed, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bus_events import Lane, directive, writers
from ledger_facts import rows
from memory_ledger import directory
from portalbus.infra.cli.app import run
from portalbus.streams.ledger.ledger import Ledger

FIRST, LAST = 4, 303
"""Where the newest of too many gaps are counted as one."""


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A source of which each second event is missing, 150 of them in all."""
    ledger, lane = Ledger(ledger_url, writers(), directory()), Lane("H26")
    ledger.open_lanes(["H26"])
    ledger.take_in([lane.say(directive(f"d-{number}"), sequence=number) for number in range(1, 303, 2)])
    ledger.close()
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def test_a_part_of_a_gap_is_not_closed_where_nobody_knows_what_is_missing_in_it(
    look: psycopg.Connection[Any], ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gaps = rows(look, "select first, last, missing from ledger.gap order by first")
    first, last, missing = next(gap for gap in gaps if gap[2] < gap[1] - gap[0] + 1)
    close = ["gaps", "close", "h26", "www"]
    why = ["--why", "the server burned", "--database-url", ledger_url]
    assert run([*close, f"{first + 1}-{first + 3}", *why]) == 1
    said = capsys.readouterr().err
    assert f"{first + 1}-{first + 3} lies in the gap {first}-{last} of H26/www, epoch 1" in said
    assert f"of which {missing} are missing" in said
    assert f"portalbus gaps close H26 www {first}-{last} --epoch 1" in said
    assert rows(look, "select first, last, missing from ledger.gap order by first") == gaps

    assert run([*close, "5000", *why]) == 1
    assert "no gap of H26/www lies there" in capsys.readouterr().err
    assert run([*close, f"{first + 1}", "--epoch", "7", *why]) == 1
    assert "no gap of H26/www lies there" in capsys.readouterr().err

    assert run([*close, f"{first}-{last}", "--epoch", "1", *why]) == 0
    assert "H26/www epoch 1" in capsys.readouterr().out
