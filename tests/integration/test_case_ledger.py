"""The life of a case in the ledger's tables: what is stored, what is shown, and that a rebuild gives the same rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from bus_events import Lane, answer, progress, receipt, writers
from ledger_facts import one, rows
from memory_ledger import directory
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.models import CaseStep, Outcome
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.database import migrations
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.rebuilding.comparing import compare, verdict_changes
from portalbus.streams.rebuilding.fold_tables import FOLD, KEPT
from portalbus.streams.rebuilding.rebuild import Rebuild
from portalbus.streams.reconciling.comparing import difference_of
from portalbus.streams.reconciling.reading import Scope, read_accepted
from remembered_lanes import RememberedLanes

AGENCIES = ("G22", "H26", "H29", "H31")
RULE = "refusal.needs-legal-basis"
REASON = "Nội dung chưa nêu rõ địa điểm và thời gian."


@pytest.fixture
def url(ledger_url: str) -> Iterator[str]:
    """A ledger with nothing in it but its lanes."""
    with psycopg.connect(ledger_url) as connection:
        tables = [table.name for table in FOLD] + [name for name in KEPT if name not in ("position", "watch")]
        names = sql.SQL(", ").join(sql.Identifier("ledger", name) for name in tables)
        connection.execute(sql.SQL("truncate {} restart identity").format(names))
        connection.execute("update ledger.position set next = 1")
    yield ledger_url


class Town:
    """Lanes, and a ledger that takes in what is said on them, one batch a call."""

    def __init__(self, url: str) -> None:
        self.lanes = {agency: Lane(agency) for agency in AGENCIES}
        self.ledger = Ledger(url, writers(), directory())
        self.ledger.open_lanes(AGENCIES)

    def says(self, agency: str, *payloads: Any) -> list[Item]:
        items = [self.lanes[agency].say(payload) for payload in payloads]
        self.ledger.take_in(items)
        return items


@pytest.fixture
def town(url: str) -> Iterator[Town]:
    made = Town(url)
    yield made
    made.ledger.close()


@pytest.fixture
def look(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def case(look: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Owner, state, stage, bodies passed, steps, and the answer shown."""
    found: tuple[Any, ...] = rows(look, "select owner, state, stage, passed, steps, answer from ledger.case")[0]
    return found


def test_a_whole_life_is_stored_step_by_step(town: Town, look: psycopg.Connection[Any]) -> None:
    town.says("H26", progress(CaseStep.CLASSIFIED))  # before its receipt: it waits
    town.says("H26", receipt(), progress(CaseStep.TRANSFERRED))
    assert case(look) == ("H29", "RECEIVED", "RECEIVED", ["H26", "H29"], 2, None)
    town.says("H26", progress(CaseStep.ACCEPTED))
    assert one(look, "select rule from ledger.event where agency = 'H26' order by lane_offset desc limit 1") == (
        "case.not-owner"
    )
    town.says("H29", progress(CaseStep.ACCEPTED), answer(answer="Lần đầu."))
    assert case(look) == ("H29", "RESOLVED", "ANSWERED", ["H26", "H29"], 3, "Lần đầu.")
    town.says("G22", progress(CaseStep.ANSWER_RETURNED))
    assert case(look) == ("H29", "RECEIVED", "IN_PROGRESS", ["H26", "H29"], 4, None)
    town.says("H29", answer(answer="Lần hai."))
    town.says("H26", progress(CaseStep.REOPENED))
    assert case(look) == ("H29", "RECEIVED", "RECEIVED", None, 5, "Lần hai.")
    town.says("H29", progress(CaseStep.WITHDRAWN))
    assert case(look) == ("H29", "CLOSED", "WITHDRAWN", None, 6, "Lần hai.")
    assert rows(look, "select agency, step from ledger.case_step order by position") == [
        ("H26", "CLASSIFIED"),
        ("H26", "TRANSFERRED"),
        ("H29", "ACCEPTED"),
        ("G22", "ANSWER_RETURNED"),
        ("H26", "REOPENED"),
        ("H29", "WITHDRAWN"),
    ]
    assert one(look, "select addressed_to from ledger.case") == "H26"


def test_an_answer_given_returned_and_given_again_in_one_batch(town: Town, look: psycopg.Connection[Any]) -> None:
    items = [
        town.lanes["H26"].say(receipt()),
        town.lanes["H26"].say(answer(answer="Lần đầu.")),
        town.lanes["G22"].say(progress(CaseStep.ANSWER_RETURNED)),
        town.lanes["H26"].say(answer(answer="Lần hai.")),
    ]
    town.ledger.take_in(items)
    assert case(look) == ("H26", "RESOLVED", "ANSWERED", None, 1, "Lần hai.")


def test_a_rebuild_gives_the_same_rows_and_the_reconciliation_finds_nothing(
    url: str, town: Town, look: psycopg.Connection[Any]
) -> None:
    town.says("H26", receipt(), progress(CaseStep.TRANSFERRED))
    town.says("H29", answer(answer="Lần đầu."))
    town.says("G22", progress(CaseStep.ANSWER_RETURNED))
    town.says("H29", answer(answer="Lần hai."))
    town.says("G22", progress(CaseStep.PUBLISHED))
    town.says("H26", progress(CaseStep.RATED))
    assert one(look, "select answer_heard_at is not null and answer_published_at is not null from ledger.case")
    with psycopg.connect(url) as reading:
        found = [difference_of(*told)[0] for told in read_accepted(reading, Scope(), lambda: None, writers())]
    assert found == [None] * 6, "the receipt, the answer that stands, and each step"
    lanes = RememberedLanes([item for lane in town.lanes.values() for item in lane.items])
    with Rebuild(url, lanes, writers(), directory()) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            assert [table.table for table in compare(looking) if table.rows] == []


TEXTS: LiteralString = "select case_id, stage, state, subject, content, pseudonym from ledger.case order by case_id"
SECRET = "Ông Nguyễn Văn A tố cáo cán bộ xã nhận tiền."


def secret(number: int, **values: Any) -> Any:
    return receipt(f"H26-000{number}", number, subject=SECRET, content=SECRET, pseudonym="p-secret", **values)


def diversion(case_id: str, outcome: Outcome) -> Any:
    return answer(case_id, outcome=outcome, answer=None, reason_code="OUT_OF_SCOPE_DENUNCIATION", public=False)


def test_what_a_denunciation_says_is_nowhere_in_its_row_however_it_was_diverted(
    url: str, town: Town, look: psycopg.Connection[Any]
) -> None:
    town.says("H26", secret(1), secret(2), secret(3))
    town.says("H26", progress(CaseStep.DIVERTED, "H26-0001"))
    town.says("H26", diversion("H26-0002", Outcome.DIVERTED), diversion("H26-0003", Outcome.REJECTED))
    town.says("H26", secret(4), progress(CaseStep.DIVERTED, "H26-0004"))  # in one batch
    town.says("H26", receipt("H26-0005", 5, subject="", content="", diverted="DENUNCIATION"))
    town.says("H26", secret(6))  # it stays a case
    found = rows(look, TEXTS)
    blank = ("DIVERTED", "", "", None)
    assert [(stage, *texts) for _, stage, _, *texts in found] == [blank] * 5 + [
        ("RECEIVED", SECRET, SECRET, "p-secret")
    ]
    assert [state for _, _, state, *_ in found] == ["CLOSED", "RESOLVED", "RESOLVED", "CLOSED", "CLOSED", "RECEIVED"]
    whole: LiteralString = "select to_jsonb(c)::text from ledger.case c where stage = 'DIVERTED'"
    assert not [row for (row,) in rows(look, whole) if SECRET in row or "p-secret" in row]
    lanes = RememberedLanes(town.lanes["H26"].items)
    with Rebuild(url, lanes, writers(), directory()) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            assert [table.table for table in compare(looking) if table.rows] == []


def differences(url: str) -> list[str | None]:
    """The columns at fault of each accepted event's row; None of one that is right."""
    with psycopg.connect(url) as reading:
        told = [difference_of(*one)[0] for one in read_accepted(reading, Scope(), lambda: None, writers())]
    return [",".join(one.columns) if one else None for one in told]


def test_the_reconciliation_knows_that_a_diverted_row_has_no_text_and_notices_every_change_in_it(
    url: str, town: Town, look: psycopg.Connection[Any]
) -> None:
    town.says("H26", secret(1), progress(CaseStep.DIVERTED, "H26-0001"))
    town.says("H26", receipt("H26-0005", 5, subject="", content="", diverted="COMPLAINT"))
    assert differences(url) == [None] * 3
    look.execute("update ledger.case set subject = 'x' where case_id = 'H26-0001'")
    assert differences(url).count("subject") == 1
    look.execute("update ledger.case set subject = '', category = 7 where case_id = 'H26-0001'")
    assert differences(url).count("content") == 1
    look.execute("update ledger.case set category = 1, diverted = null where case_id <> 'H26-0001'")
    assert [one for one in differences(url) if one], "a notice that became a feedback"


def test_a_rebuild_refuses_nothing_that_came_before_a_rule_was_in_force_here(
    url: str, town: Town, look: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = answer(outcome=Outcome.REJECTED, answer=None, reason_code="UNCLEAR_CONTENT", reason_text=REASON)
    days = tmp_path / "rules.toml"
    monkeypatch.setenv("PORTALBUS_RULES", str(days))
    for first, rules in ((town.lanes["H26"].now.date() + timedelta(days=1), {"event.accepted"}), (None, {RULE})):
        days.write_text(f'["{RULE}"]\nvalid_from = {first}\n' if first else "", encoding="utf-8")
        catalogue.cache_clear()
        if first:
            town.says("H26", receipt(), refusal)
        lanes = RememberedLanes(town.lanes["H26"].items)
        with Rebuild(url, lanes, writers(), directory()) as rebuild:
            rebuild.run()
            with rebuild.one_moment() as looking:
                changes, _ = verdict_changes(looking)
                assert bool([table for table in compare(looking) if table.rows]) is (first is None)
        assert {after for _, after in changes} == (rules - {"event.accepted"})
    catalogue.cache_clear()


def test_cases_of_before_get_the_columns_that_a_rebuild_gives(town: Town, look: psycopg.Connection[Any]) -> None:
    said: tuple[LiteralString, ...] = ("H26-0001", "H26-0002", "H26-0003")
    town.says("H26", *(receipt(case, number) for number, case in enumerate(said, 1)))
    town.says("H26", answer(said[0]), answer(said[1], public=False), progress(CaseStep.PUBLISHED, said[0]))
    town.says("G22", progress(CaseStep.PUBLISHED, said[0]))
    columns: LiteralString = "select case_id, answer_heard_at, answer_published_at from ledger.case order by case_id"
    before = rows(look, columns)
    assert [(heard is None, published is None) for _, heard, published in before] == [
        (False, False),
        (True, True),
        (True, True),
    ]
    look.execute("update ledger.case set answer_heard_at = null, answer_published_at = null")
    migration = dict(migrations())["0012_cases_decided"].decode()
    update = re.search(r"^update ledger\.case c.*?;$", migration, re.DOTALL | re.MULTILINE)
    assert update is not None
    look.execute(update[0].encode())
    assert rows(look, columns) == before
