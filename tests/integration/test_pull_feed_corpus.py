"""Every feed of feedparser's own test suite: no crash, stable ids, and a second pass that has nothing to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from feed_corpus import corpus
from local_site import LocalSite
from portalbus.connectors.pull.comparing import Deciding, compare
from portalbus.connectors.pull.feed import DEFAULTS, FeedConfig, items_of
from portalbus.connectors.pull.found import FoundItem, Listing, Reading
from portalbus.connectors.pull.judging import Judge
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.mapping import mapped, rules
from portalbus.connectors.pull.remembered import Memory
from portalbus.connectors.pull.web.client import Answer
from pulled_portal import pulled

WHERE = "https://hanoi.gov.vn/rss"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
FILLED = {
    "title": {"from": "title", "default": "Thông báo"},
    "body": {"from": "body", "default": "Toàn văn tại cổng thông tin."},
    "canonical_url": {"from": "link", "default": WHERE},
}
"""Most files show a single element; what they leave out is filled in, so that they are published."""
LEAST = 2_000
"""So many files the corpus has at least; fewer would mean that it was not found."""


def items(content: bytes) -> list[dict[str, Any]] | str:
    """The items of a feed, or the words with which it is refused."""
    try:
        found, _ = items_of(Answer(200, WHERE, {}, content))
    except ReadFailed as failed:
        return failed.what
    return found


def test_no_feed_crashes_ids_are_stable_and_a_second_pass_publishes_nothing() -> None:
    config = FeedConfig.model_validate({"agency": "H26", "kind": "feed", "address": WHERE, "mapping": FILLED})
    deciding = Deciding(config, NOW, Judge("H26", "www"), lambda: "", asks=True)
    field_rules = rules(DEFAULTS, config.mapping)
    figures: Counter[str] = Counter()
    for name, content in corpus():
        figures["files"] += 1
        first, second = items(content), items(content)
        assert first == second, name
        if isinstance(first, str):
            figures["refused with a clear line"] += 1
            continue
        figures["items"] += len(first)
        found = tuple(FoundItem(item["id"], mapped(field_rules, item.get), url=item["link"]) for item in first)
        reading = Reading(found, Listing.WINDOW)
        once = compare(Memory(), reading, deciding)
        again = compare(once.memory, reading, deciding)
        assert again.events == [], name
        assert all(not refused.new for refused in again.refused), name
        figures["published"] += len(once.events)
        figures["refused by a rule"] += len(once.refused)
    print(dict(figures))
    assert figures["files"] >= LEAST
    assert figures["published"] > figures["refused by a rule"]


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def test_feeds_of_the_corpus_over_http_publish_once(site: LocalSite, tmp_path: Path) -> None:
    chosen = [(name, content) for name, content in corpus() if "content" in name or "encoding" in name][::12]
    assert len(chosen) >= 20
    published = 0
    for number, (name, content) in enumerate(chosen):
        address = site.put(f"/{number}", content, "application/xml", conditional=False)
        portal = pulled(tmp_path / str(number), {"kind": "feed", "address": address, "mapping": FILLED})
        first = portal.once()
        assert first.crashed is None, name
        site.pages[f"/{number}"].content += b"\n"  # so that it is read again, not only recognised
        assert portal.once(minutes=15).published == 0, name
        published += first.published
    assert published > 0
