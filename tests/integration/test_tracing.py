"""One trace from any id: what names an event, a case or a directive leads to it, and to the feeds that carry it."""

from __future__ import annotations

import json
from typing import Any

import feedparser
import httpx2
import psycopg
import pytest

from central_process import CentralProcess
from ledger_rows import LedgerRows, answer, directive, feedback
from portalbus.connectors.central.feeds.feed import directive_entry_id
from portalbus.connectors.tracing.following import follow
from portalbus.infra.cli.app import run
from portalbus.schemas.tracing import trace_id, traceparent
from portalbus.streams.reading.tracing import Trace

CODE = "7GQ2M0Z4KX9A"
ADDRESS = "https://hanoi.gov.vn/van-ban?id=15&tab=1"


@pytest.fixture
def published(ledger: LedgerRows) -> LedgerRows:
    """A directive of H26 with two versions, another one, and an answered case of H26."""
    ledger.publish(directive("kh-1", canonical_url=ADDRESS), "H26")
    ledger.publish(directive("kh-1", version=2, canonical_url=f"{ADDRESS}/"), "H26")
    ledger.publish(directive("ct-2", language="en"), "G22")
    ledger.receive(feedback("H26-0001", CODE))
    ledger.resolve(answer("H26-0001"), "H26")
    return ledger


@pytest.fixture
def look(ledger_url: str) -> Any:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def event_of(look: psycopg.Connection[Any], key: str) -> str:
    """The id of the first event of a key."""
    found = look.execute("select event_id::text from ledger.event where key = %s order by position", (key,)).fetchone()
    assert found is not None
    return str(found[0])


def followed(look: psycopg.Connection[Any], asked: str) -> Trace:
    found = follow(look, asked)
    assert found is not None, asked
    return found


def test_every_name_of_a_directive_leads_to_it(published: LedgerRows, look: psycopg.Connection[Any]) -> None:
    event_id = event_of(look, "H26/kh-1")
    entry = directive_entry_id("H26/kh-1")
    names = (
        "H26/kh-1",
        "kh-1",
        "https://x.gov.vn/vi/directives/H26/kh-1",
        "https://x.gov.vn/api/v1/directives/H26/kh-1",
    )
    at_its_portal = (ADDRESS, f"{ADDRESS}/", f"{ADDRESS}#muc-2")
    for asked in (*names, *at_its_portal, entry, entry.upper(), entry.removeprefix("urn:uuid:")):
        assert (followed(look, asked).kind, followed(look, asked).key) == ("directive", "H26/kh-1"), asked
        assert len(followed(look, asked).events) == 2, asked
    for asked in (event_id, trace_id(event_id), traceparent(event_id), f"urn:uuid:{event_id}", "verdict-1", "H26@0"):
        (event,) = followed(look, asked).events
        assert event.event_id == event_id, asked
    assert follow(look, "https://hanoi.gov.vn/van-ban?id=16") is None


def test_every_feed_that_a_trace_names_has_the_entry(
    central: CentralProcess, published: LedgerRows, look: psycopg.Connection[Any]
) -> None:
    paths: list[str] = []
    for key, feeds in (("H26/kh-1", 4), ("G22/ct-2", 4), ("H26-0001", 2)):
        for event in followed(look, key).events:
            (judgement,) = event.judgements
            assert len(judgement.feeds) == feeds
            for feed in judgement.feeds:
                paths.append(feed.path)
                for form in ("atom", "rss"):
                    address = f"{central.address}/vi{feed.path.replace('.atom', f'.{form}')}"
                    entries = feedparser.parse(httpx2.get(address).content).entries
                    assert feed.entry in [entry.id for entry in entries], address
                assert feed.at == event.received_at
    assert "/feed.atom?agency=G22&lang=en" in paths and "/feed.atom?type=FeedbackResolved&agency=H26" in paths


def test_an_answer_under_review_is_in_no_feed_yet(ledger: LedgerRows, look: psycopg.Connection[Any]) -> None:
    ledger.receive(feedback("H26-0002", CODE))
    ledger.resolve(answer("H26-0002", public=True), "H26", shown=False)
    received, resolved = followed(look, "H26-0002").events
    assert received.judgements[0].feeds
    assert resolved.judgements[0].feeds == ()


def test_what_was_refused_is_in_no_feed(ledger: LedgerRows, look: psycopg.Connection[Any]) -> None:
    ledger.refuse("H26")
    (event,) = followed(look, "H26@0").events
    assert (event.judgements[0].feeds, event.judgements[0].webhooks) == ((), ())


def test_the_address_of_a_feed_lists_its_entries_each_of_which_can_be_traced(
    published: LedgerRows, ledger_url: str, look: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for address, keys in (
        ("https://x.gov.vn/vi/feed.atom", ["G22/ct-2", "H26/kh-1"]),
        ("/en/feed.rss?agency=H26", ["H26/kh-1"]),
        ("/zh/feed.atom?type=FeedbackResolved&agency=H26", ["H26-0001"]),
        ("/zh/feed.atom?agency=H57", []),
    ):
        assert run(["trace", address, "--database-url", ledger_url, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["kind"] == "feed"
        assert [followed(look, entry["traced_by"]).key for entry in found["entries"]] == keys, address
        assert [followed(look, entry["entry"]).key for entry in found["entries"]] == keys, address
    assert run(["trace", "/en/feed.rss?agency=H26", "--database-url", ledger_url]) == 0
    assert directive_entry_id("H26/kh-1") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3d", "portalbus outbox status"),
        ("7GQ2M0Z4KX9B", "12 characters"),
        ("https://hanoi.gov.vn/nothing", "published with this address"),
        ("/en/feed.atom?type=Nothing", "no feed at this address"),
        ("H26@99", "lane has no record there"),
        ("nothing", "G22/ct-015-2026"),
    ],
)
def test_what_is_unknown_says_what_to_look_at(
    ledger: LedgerRows, ledger_url: str, capsys: pytest.CaptureFixture[str], asked: str, hint: str
) -> None:
    assert run(["trace", asked, "--database-url", ledger_url]) == 1
    assert hint in capsys.readouterr().err


def test_a_directive_is_found_by_its_address_through_an_index(published: LedgerRows, look: Any) -> None:
    look.execute("set enable_seqscan = off")
    query = "explain select key from ledger.directive_version where document->>'canonical_url' = any(array['a', 'b'])"
    assert "directive_version_address" in str(look.execute(query).fetchall())
