"""Feeds over a real ledger: valid, complete, discoverable, and cheap to ask for again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

import feedparser
import httpx2
import pytest
from lxml import etree

from central_process import CentralProcess
from ledger_rows import LedgerRows, answer, article, directive, feedback
from portalbus.schemas.models import Outcome, RefusalReason

ODD = "Tiêu đề <b>&amp; “lạ”</b> ]]> \u200b\ufffe \U0001f1fb\U0001f1f3 'x' \"y\" {z} %s"
CODE = "7GQ2M0Z4KX9A"


@pytest.fixture
def portal(central: CentralProcess, ledger: LedgerRows) -> httpx2.Client:
    """A client of the portal over an empty ledger; each test reads feeds of an address of its own."""
    name = f"test-{time.monotonic_ns()}.example.gov.vn"
    return httpx2.Client(base_url=central.address, headers={"Host": name}, timeout=10)


def parsed(answer: httpx2.Response) -> Any:
    """What a feed reader makes of it, after it was found well-formed."""
    assert answer.status_code == 200, answer.text
    etree.fromstring(answer.content, etree.XMLParser(resolve_entities=False, no_network=True))
    found = feedparser.parse(answer.content, response_headers=dict(answer.headers))
    assert not found.bozo, found.bozo_exception
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("form", ["atom", "rss"])
def test_a_feed_holds_what_was_published_whatever_characters_it_has(
    portal: httpx2.Client, ledger: LedgerRows, form: str
) -> None:
    ledger.publish(directive("a", title=ODD, body="<script>alert(1)</script> & thân"))
    ledger.publish(article("ja-vi"))
    ledger.publish(directive("b", language="en", body_format="HTML", body="<p>One &amp; two</p><script>x()</script>"))
    found = parsed(portal.get(f"/vi/feed.{form}"))
    assert found.version == {"atom": "atom10", "rss": "rss20"}[form]
    assert [entry.link.rpartition("/")[2] for entry in found.entries] == ["b", "article-ja-vi", "a"]
    titles = [entry.title for entry in found.entries]
    assert titles[2] == f"15/CT-TTg: {ODD}".replace("\ufffe", "\ufffd")
    assert unescape(found.entries[0].summary) == "One & two"
    assert "alert(1)" in found.entries[2].summary
    assert all(entry.author == "Văn phòng Chính phủ" for entry in found.entries), found.entries[0].author


def test_an_atom_feed_has_all_that_the_standard_asks_for(portal: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"))
    ledger.publish(directive("b"))
    atom = {"a": "http://www.w3.org/2005/Atom"}
    for address in ("/vi/feed.atom", "/en/feed.atom?agency=H26", "/zh/feed.atom?type=FeedbackResolved"):
        root = etree.fromstring(portal.get(address).content)
        assert root.tag == "{http://www.w3.org/2005/Atom}feed"
        for element in (root, *root.findall("a:entry", atom)):
            for name in ("id", "title", "updated", "author"):
                assert len(element.findall(f"a:{name}", atom)) == 1, (address, name)
            assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", str(element.findtext("a:id", namespaces=atom)))
            updated = str(element.findtext("a:updated", namespaces=atom))
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", updated)
        (own,) = root.xpath("a:link[@rel='self']/@href", namespaces=atom)
        assert own == str(portal.base_url.copy_with(host=portal.headers["host"], port=None)).rstrip("/") + address
        assert all(href.startswith("http") for href in root.xpath("//a:link/@href", namespaces=atom))
        ids = root.xpath("//a:id/text()", namespaces=atom)
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("form", ["atom", "rss"])
def test_a_withdrawn_directive_is_shown_as_such_under_the_same_id(
    portal: httpx2.Client, ledger: LedgerRows, form: str
) -> None:
    for name in ("a", "b"):
        ledger.publish(directive(name))
    before = {entry.link: entry.id for entry in parsed(portal.get(f"/en/feed.{form}")).entries}
    ledger.publish(directive("a", version=2, action="REVISE", title="Second"))
    ledger.publish(directive("a", version=3, action="WITHDRAW", title="Second", withdrawal_reason="Ban hành nhầm."))
    until(lambda: len(parsed(portal.get(f"/en/feed.{form}")).entries[0].tags) == 2)
    for address in (f"/en/feed.{form}", f"/en/feed.{form}?agency=G22"):
        after = parsed(portal.get(address)).entries
        assert {entry.link: entry.id for entry in after} == before
        assert after[0].title == "Withdrawn: 15/CT-TTg: Second"
        assert after[0].summary == "Reason: Ban hành nhầm."
        assert "Withdrawn" in {tag.label or tag.term for tag in after[0].tags}
        assert after[0].updated_parsed > after[0].published_parsed or form == "rss"


def test_feeds_are_narrowed_by_agency_type_and_language(portal: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"), "H26")
    ledger.publish(directive("b", language="en"), "H26")
    ledger.publish(directive("c", language="en"), "G22")

    def names(query: str) -> list[str]:
        return [entry.link.rpartition("/")[2] for entry in parsed(portal.get(f"/vi/feed.atom{query}")).entries]

    assert names("?agency=H26") == ["b", "a"]
    assert names("?agency=H26&lang=en") == ["b"]
    assert names("?lang=en") == ["c", "b"]
    assert names("?agency=G01") == []
    for wrong in ("?agency=X99", "?type=Nonsense"):
        assert portal.get(f"/vi/feed.atom{wrong}").status_code == 404
    assert portal.get("/vi/feed.json").status_code == 404
    assert portal.get("/vi/feed.atom?lang=%00").status_code == 422


def test_a_feed_of_feedback_says_what_came_out_and_not_whose_it_was(portal: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.receive(feedback("H26-0001", CODE, subject="bí mật", content="rất bí mật"))
    ledger.resolve(answer("H26-0001", answer="Đã sửa đèn đường."), "H26")
    ledger.receive(feedback("H26-0002", "8GQ2M0Z4KX9A"))
    refusal = {
        "outcome": Outcome.REJECTED,
        "reason_code": RefusalReason.UNCLEAR_CONTENT,
        "answer": "kín",
        "public": False,
    }
    ledger.resolve(answer("H26-0002", **refusal), "H26")
    received = portal.get("/vi/feed.atom?type=FeedbackReceived&agency=H26")
    resolved = portal.get("/en/feed.rss?type=FeedbackResolved")
    assert len(parsed(received).entries) == 2
    refused, answered = parsed(resolved).entries
    assert "Refused" in refused.title and "The content is not clear" in refused.summary
    assert answered.summary.endswith("Đã sửa đèn đường.")
    for text in (received.text, resolved.text):
        for secret in (CODE, "H26-0001", "bí mật", "kín", "p-7c1"):
            assert secret not in text


def test_who_has_a_feed_already_gets_304_until_it_changes(portal: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"))
    first = portal.get("/vi/feed.atom")
    tag, date = first.headers["etag"], first.headers["last-modified"]
    assert parsedate_to_datetime(date).tzinfo is not None
    for known in ({"If-None-Match": tag}, {"If-None-Match": f'"x", {tag}'}, {"If-Modified-Since": date}):
        again = portal.get("/vi/feed.atom", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = {"If-None-Match": '"other"', "If-Modified-Since": date}
    assert portal.get("/vi/feed.atom", headers=other).status_code == 200, "the tag counts, not the date"
    assert portal.get("/vi/feed.atom", headers={"Accept-Encoding": "identity"}).headers["etag"] == tag
    head = portal.head("/vi/feed.atom")
    assert (head.status_code, head.headers["etag"], head.content) == (200, tag, b"")
    ledger.publish(directive("b"))
    until(lambda: portal.get("/vi/feed.atom", headers={"If-None-Match": tag}).status_code == 200)
    assert portal.get("/vi/feed.atom", headers={"If-Modified-Since": date}).status_code == 200


def test_feeds_are_found_from_the_pages(portal: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"), "H26")
    for page, feeds in (("/en/", 2), ("/vi/agencies/H26", 4)):
        found = etree.HTML(portal.get(page).text)
        links = found.xpath("//link[@rel='alternate' and starts-with(@type, 'application/')]")
        assert len(links) == feeds
        for link in links:
            answer = portal.get(link.get("href"))
            assert answer.headers["content-type"].startswith(link.get("type"))
            assert parsed(answer).entries
            assert link.get("title")


def test_an_installation_may_say_under_which_address_it_is_known(
    ledger_url: str, ledger: LedgerRows, tmp_path: Any
) -> None:
    ledger.publish(directive("a"))
    process = CentralProcess(ledger_url, tmp_path / "log", "--public-url", "https://bus.example.gov.vn/")
    try:
        process.wait_until()
        found = parsed(httpx2.get(f"{process.address}/vi/feed.atom"))
    finally:
        process.stop()
    assert found.entries[0].link == "https://bus.example.gov.vn/vi/directives/G22/a"
