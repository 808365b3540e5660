"""The kind `feed` against a real server: what is published, how little is asked, and what odd feeds lead to."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.remembered import State
from pulled_portal import Pulled, pulled

XML = "application/rss+xml; charset=utf-8"


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def put(site: LocalSite, *numbers: int, **changed: str) -> str:
    for number in numbers:
        site.put(f"/tin/{number}", f"<h1>{number}</h1>")
    return site.put("/rss", rss([notice(site, number, **changed) for number in numbers]), XML)


def feed(site: LocalSite, folder: Path, **settings: object) -> Pulled:
    return pulled(folder, {"kind": "feed", "address": site.url + "/rss", **settings})


def test_items_are_published_once_and_an_unchanged_feed_costs_one_conditional_request(
    site: LocalSite, tmp_path: Path
) -> None:
    put(site, 1, 2, 3)
    portal = feed(site, tmp_path)
    report = portal.once()
    assert (report.failed, report.published) == ("", 3)
    first = portal.published()[0]
    assert (first.title, first.language, first.document_type) == ("Thông báo số 1 về phòng chống bão", "vi", "TIN")
    assert (first.issued_on.isoformat(), first.canonical_url) == ("2026-10-02", site.url + "/tin/1")
    site.asked.clear()
    assert portal.once(minutes=15).published == 0
    assert site.paths() == ["/rss"]
    assert "if-none-match" in site.asked[-1][1]


def test_a_changed_item_is_revised_and_one_that_is_gone_is_withdrawn_after_two_looks(
    site: LocalSite, tmp_path: Path
) -> None:
    put(site, *range(1, 7))
    portal = feed(site, tmp_path)
    portal.once()
    put(site, 2, 3, 4, 5, 6, description="Lịch tiếp công dân thay đổi.")
    del site.pages["/tin/1"]
    assert portal.once(minutes=15).published == 5
    assert portal.once(hours=2).published == 1
    last = portal.published()[-1]
    assert (last.action, last.version, last.title) == ("WITHDRAW", 2, "Thông báo số 1 về phòng chống bão")
    assert portal.once(hours=30).published == 0


def test_items_that_only_left_the_window_stay(site: LocalSite, tmp_path: Path) -> None:
    put(site, *range(1, 9))
    portal = feed(site, tmp_path)
    portal.once()
    for first in range(2, 12):
        put(site, *range(first, first + 8))
        assert portal.once(hours=12).published == 1
    assert {payload.action for payload in portal.published()} == {"PUBLISH"}


def test_a_page_in_trouble_is_not_a_page_that_is_gone(site: LocalSite, tmp_path: Path) -> None:
    put(site, *range(1, 7))
    portal = feed(site, tmp_path)
    portal.once()
    put(site, *range(2, 8))
    site.put("/tin/1", "down", status=503)
    for _ in range(4):
        portal.once(hours=12)
    assert {payload.action for payload in portal.published()} == {"PUBLISH"}


def test_a_feed_that_disappears_or_empties_is_said_and_withdraws_nothing(site: LocalSite, tmp_path: Path) -> None:
    put(site, *range(1, 7))
    portal = feed(site, tmp_path)
    portal.once()
    page = site.pages.pop("/rss")
    report = portal.once(hours=1)
    assert "the feed is gone: it answers 404" in report.failed
    assert "change the address" in report.failed
    site.put("/rss", rss([]), XML)
    for number in range(1, 7):
        site.pages.pop(f"/tin/{number}")
    for _ in range(3):
        report = portal.once(hours=12)
        assert report.outcome is not None
        assert report.outcome.memory.alert is not None
        assert report.outcome.memory.alert.rule == "pull.listing-empty"
    site.pages["/rss"] = page
    portal.once(hours=1)
    memory, standing = portal.entry.memory.load()
    assert len(portal.published()) == 6
    assert (memory.alert, standing.failures) == (None, 0)


def test_attachments_are_read_once_for_their_size_and_digest(site: LocalSite, tmp_path: Path) -> None:
    content = b"%PDF-1.7 " + b"x" * 10_000
    link = site.put("/files/15-CT.pdf", content, "application/pdf")
    enclosure = {f'enclosure url="{link}" length="1" type="application/pdf"/': ""}
    item = (
        "<item>" + "".join(f"<{k}>{v}</{k}>" for k, v in notice(site, 1).items()) + f"<{next(iter(enclosure))}></item>"
    )
    site.put("/rss", rss([]).replace("</channel>", item + "</channel>"), XML)
    portal = feed(site, tmp_path)
    portal.once()
    (attachment,) = portal.published()[0].attachments
    assert (attachment.name, attachment.size) == ("15-CT.pdf", len(content))
    assert attachment.sha256 == sha256(content).hexdigest()
    site.pages["/rss"].content += b"<!-- new -->"
    site.asked.clear()
    assert portal.once(hours=1).published == 0
    assert site.paths() == ["/rss"]


def test_a_feed_that_breaks_off_does_not_publish_half_an_item(site: LocalSite, tmp_path: Path) -> None:
    put(site, 1, 2, 3)
    portal = feed(site, tmp_path)
    portal.once()
    whole = site.pages["/rss"].content
    site.put("/rss", whole[: whole.rindex("rà soát".encode())], XML)
    report = portal.once(hours=1)
    assert report.published == 0
    assert report.outcome is not None
    assert any("ends too early" in remark.text for remark in report.outcome.remarks)


def test_an_item_that_a_rule_refuses_is_named_and_the_others_are_published(site: LocalSite, tmp_path: Path) -> None:
    items = [notice(site, 1), notice(site, 2, title="x" * 1_200), notice(site, 3, link="javascript:alert(1)")]
    site.put("/rss", rss(items), XML)
    portal = feed(site, tmp_path, mapping={"document_type": {"default": "TB"}})
    report = portal.once()
    assert report.published == 1
    assert report.outcome is not None
    found = {refused.item_id: refused.findings[0] for refused in report.outcome.refused}
    assert found["tin-2"].rule == "schema.too-long"
    assert found["tin-2"].path == "/title"
    memory, _ = portal.entry.memory.load()
    assert memory.items["tin-2"].state is State.NEW


def test_tcvn3_that_announces_utf_8_is_converted_and_said(site: LocalSite, tmp_path: Path) -> None:
    from portalbus.connectors.pull.vietnamese_encodings import TCVN3_LETTERS

    back = {letter: number for number, letter in TCVN3_LETTERS.items()}
    text = rss([notice(site, number) for number in range(1, 4)])
    old = bytes(back.get(letter, ord(letter)) for letter in text if ord(letter) < 128 or letter in back)
    site.put("/rss", old, XML)
    portal = feed(site, tmp_path)
    report = portal.once()
    assert report.outcome is not None
    assert "announces utf-8, but is TCVN3" in report.outcome.remarks[0].text
    assert portal.published()[0].title == "Thông báo số 1 về phòng chống bão"
