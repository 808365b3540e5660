"""Whatever portals and colleagues wrote, the commands print it as it stands, and none of them fails over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from ledger_facts import rows
from lived_ledger import live
from portalbus.infra.cli.app import run

HOSTILE = "[/x][red]:x:\\[a]"
WRITTEN: tuple[LiteralString, ...] = (
    "update ledger.parked set decided_by = 'han', decided_why = %(text)s, decided_at = now(), detail = %(text)s",
    "update ledger.parked set state = 'discarded'",
    "update ledger.gap_closing set why = %(text)s",
    "update ledger.source_blocking set why = %(text)s",
    "update ledger.alert set closed_why = %(text)s, message = jsonb_build_object('vi', %(text)s::text, 'en', %(text)s,"
    " 'zh', %(text)s)",
    "update ledger.case_decision set why = %(text)s",
    "update ledger.directive set title = %(text)s",
    "update ledger.judgement set params = jsonb_build_object('field', %(text)s::text, 'bound', %(text)s::text)"
    " where rule = 'schema.value'",
)


@pytest.fixture(scope="module")
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    live(ledger_url)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        for statement in WRITTEN:
            connection.execute(statement, {"text": HOSTILE})
        yield connection


SHOWN = (
    ["parked", "list", "--records", "--state", "all"],
    ["gaps", "list", "--closed"],
    ["alerts", "list", "--all"],
    ["sources", "list"],
    ["cases", "decisions"],
)
OTHERS = (
    ["parked", "list", "--state", "all"],
    ["gaps", "list"],
    ["alerts"],
    ["cases"],
    ["cases", "undecided"],
    ["cases", "mismatches"],
    ["urgent"],
    ["figures"],
    ["synthesis"],
    ["verdicts", "--check"],
    ["accounts", "list"],
    ["migrations", "status"],
)


@pytest.mark.parametrize("command", [*SHOWN, *OTHERS], ids=" ".join)
def test_a_command_lists_words_with_brackets_as_they_were_written(
    command: list[str], look: psycopg.Connection[Any], ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--database-url", ledger_url]) in (0, 1), capsys.readouterr().err
    said = capsys.readouterr().out
    assert said
    if command in SHOWN:
        assert HOSTILE in said


def test_records_and_their_traces_are_shown_as_they_were_written(
    look: psycopg.Connection[Any], ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place,), *_ = rows(look, "select agency || '@' || lane_offset from ledger.parked order by 1")
    where = ["--database-url", ledger_url]
    assert run(["parked", "show", place, "--registry-url", "http://127.0.0.1:1", *where]) == 0
    assert HOSTILE in capsys.readouterr().out
    assert run(["trace", place, "--bootstrap", "127.0.0.1:1", *where]) == 0
