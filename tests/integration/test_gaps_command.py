"""`portalbus gaps` on a ledger: what is closed, and what is said where nothing can be."""

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

GAPS = "select first, last, state from ledger.gap order by first"


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A source of which 2 to 9 and 11 are missing."""
    ledger, lane = Ledger(ledger_url, writers(), directory()), Lane("H26")
    ledger.open_lanes(["H26"])
    ledger.take_in([lane.say(directive(f"d-{number}"), sequence=number) for number in (1, 10, 12)])
    ledger.close()
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def test_any_part_of_what_is_missing_can_be_given_up_and_the_rest_is_still_asked_for(
    look: psycopg.Connection[Any], ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    close = ["gaps", "close", "h26", "www"]
    why = ["--why", "the server burned", "--database-url", ledger_url]
    assert run([*close, "4-6", *why]) == 0
    assert "H26/www epoch 1: 4-6 closed" in capsys.readouterr().out
    left = [(2, 3, "open"), (4, 6, "closed"), (7, 9, "open"), (11, 11, "open")]
    assert rows(look, GAPS) == left

    for nowhere in (["5000"], ["5"], ["7", "--epoch", "7"]):
        assert run([*close, *nowhere, *why]) == 1
        assert "no gap of H26/www lies there" in capsys.readouterr().err
    assert rows(look, GAPS) == left

    assert run([*close, "1-20", *why]) == 0
    assert {state for _, _, state in rows(look, GAPS)} == {"closed"}
