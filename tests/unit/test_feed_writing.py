"""Feeds are well-formed and say what was said, whatever characters it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from portalbus.connectors.central.feeds.composing import excerpt
from portalbus.connectors.central.feeds.feed import Entry, Feed, directive_entry_id, directive_of_entry, lasting_id
from portalbus.connectors.central.feeds.xml_writing import clean, written

AT = datetime(2026, 11, 20, 5, 0, 0, 123_456, UTC)
ADDRESSES = {form: f"https://bus.example.gov.vn/vi/feed.{form}?agency=H26&lang=vi" for form in ("atom", "rss")}


def feed(*texts: str) -> Feed:
    entries = tuple(
        Entry(lasting_id(str(n)), text, "https://x.vn/", AT, AT, text, text, "vi", ((text, text),))
        for n, text in enumerate(texts)
    )
    return Feed(lasting_id("feed"), "Tin & tức", "<phụ đề>", "Cổng", "vi", "https://x.vn/", ADDRESSES, entries)


@pytest.mark.parametrize("form", ["atom", "rss"])
@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_makes_a_well_formed_feed_and_comes_back(form: str, text: str) -> None:
    root = etree.fromstring(written(feed(text), form))
    (title,) = root.xpath("//*[local-name()='entry' or local-name()='item']/*[local-name()='title']")
    assert (title.text or "") == clean(text).replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("form", ["atom", "rss"])
def test_an_empty_feed_is_valid_and_always_the_same(form: str) -> None:
    found = feedparser.parse(written(feed(), form))
    assert (found.bozo, found.entries) == (False, [])
    assert found.feed.title == "Tin & tức"
    assert written(feed(), form) == written(feed(), form)


def test_ids_last_and_tell_apart() -> None:
    assert lasting_id("directive", "G22/a") == lasting_id("directive", "G22/a")
    assert lasting_id("directive", "G22/a") != lasting_id("directive", "G22/b")
    assert lasting_id("directive", "G22/a") == "urn:uuid:c5b39d88-4cdc-5a0a-b192-9548ffc27856", "readers know it"


def test_the_directive_of_an_entry_is_found_among_all_keys() -> None:
    keys = [f"G22/chỉ-thị-{n}" for n in range(2_000)]
    for key in (keys[0], keys[777], keys[-1]):
        assert directive_of_entry(UUID(directive_entry_id(key)), keys) == key
    assert directive_of_entry(UUID(directive_entry_id("G22/another")), keys) is None


def test_a_long_text_is_cut_between_words() -> None:
    assert excerpt("một  hai\nba") == "một hai ba"
    cut = excerpt("từ " * 400)
    assert cut.endswith("từ …") and len(cut) <= 503
    assert len(excerpt("x" * 2_000)) == 502
