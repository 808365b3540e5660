"""A case with mixed content and those it was split into know of each other: on the page, in the API, in the trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from bus_events import Lane, progress, public_code, receipt, writers
from central_process import CentralProcess
from memory_ledger import directory
from portalbus.infra.cli.app import run
from portalbus.schemas.models import CaseStep, Payload
from portalbus.streams.ledger.ledger import Ledger

PARENT, ONE, TWO, OTHER, FOREIGN = "H26-0001", "H26-0002", "H26-0003", "H26-0004", "H29-0009"


@pytest.fixture
def portal(central: CentralProcess) -> httpx2.Client:
    return httpx2.Client(base_url=central.address, timeout=10)


@pytest.fixture(autouse=True)
def family(ledger: Any, ledger_url: str) -> Iterator[None]:
    """A case that H26 split into two of its own, and one for which it named a case of another body."""
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute("truncate ledger.step restart identity")
    worker = Ledger(ledger_url, writers(), directory())
    lanes = {agency: Lane(agency) for agency in ("H26", "H29")}
    worker.open_lanes(lanes)
    worker.take_in([lanes["H29"].say(receipt(FOREIGN, 9))])
    said: list[Payload] = [
        receipt(PARENT, 1),
        progress(CaseStep.SPLIT, PARENT, children=(ONE, TWO)),
        receipt(ONE, 2),
        receipt(TWO, 3),
        receipt(OTHER, 4),
        progress(CaseStep.SPLIT, OTHER, children=(OTHER.replace("4", "5"), FOREIGN)),
    ]
    worker.take_in([lanes["H26"].say(payload) for payload in said])
    yield
    worker.close()


def test_the_api_and_the_page_name_parent_and_children(portal: httpx2.Client) -> None:
    parent = portal.get(f"/api/v1/feedback/{public_code(1)}").json()
    assert (parent["part_of"], parent["split_into"]) == (None, [public_code(2), public_code(3)])
    child = portal.get(f"/api/v1/feedback/{public_code(2)}").json()
    assert (child["part_of"], child["split_into"]) == (public_code(1), [])
    for language, words in (("vi", "được tách thành"), ("en", "was split into"), ("zh", "已拆分为")):
        page = portal.get(f"/{language}/feedback/{public_code(1)}").text
        assert words in page and f'href="/{language}/feedback/{public_code(3)}"' in page
    assert f'href="/en/feedback/{public_code(1)}"' in portal.get(f"/en/feedback/{public_code(2)}").text


def test_a_case_of_another_body_is_never_given_away(portal: httpx2.Client, ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as look:
        refused = look.execute("select rule from ledger.event where key = %s and status = 'REJECTED'", (OTHER,))
        assert refused.fetchall() == [("case.child-names-splitter",)]
    assert public_code(9) not in portal.get(f"/en/feedback/{public_code(4)}").text
    foreign = portal.get(f"/api/v1/feedback/{public_code(9)}").json()
    assert (foreign["part_of"], foreign["split_into"]) == (None, [])


def test_the_trace_shows_both_directions(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for case in (PARENT, ONE):
        assert run(["trace", case, "--database-url", ledger_url, "--json"]) == 0
        found[case] = json.loads(capsys.readouterr().out)["rows"]["case"]
    assert (found[PARENT]["part_of"], found[PARENT]["split_into"]) == (None, f"{ONE}, {TWO}")
    assert (found[ONE]["part_of"], found[ONE]["split_into"]) == (PARENT, None)
