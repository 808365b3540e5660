"""The kind `feed`: RSS and Atom, well-formed or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import urldefrag, urljoin

import feedparser

from portalbus.connectors.pull import dates
from portalbus.connectors.pull.found import Before, FoundItem, Known, Listing, Presence, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadFailed, ReadOnlySource, Surroundings
from portalbus.connectors.pull.mapping import mapped, one_line, rules
from portalbus.connectors.pull.web import encodings
from portalbus.connectors.pull.web.attachments import completed
from portalbus.connectors.pull.web.client import Answer, shown
from portalbus.connectors.pull.web.html_text import absolute, looks_like_html, plain
from portalbus.connectors.pull.web.presence import presence_of
from portalbus.connectors.pull.web.record import unmasked
from portalbus.connectors.pull.web.settings import WebPortalConfig
from portalbus.connectors.pull.web.xml_text import guarded
from portalbus.schemas.rules import is_web_address

ENDS = re.compile(r"</(?:\w+:)?(?:rss|feed|RDF|channel)\s*>\s*(?:<!--.*?-->\s*)*+$", re.IGNORECASE | re.DOTALL)
TAIL = 2_048
NOT_MODIFIED = 304

DEFAULTS: Mapping[str, Any] = {
    "title": "title",
    "abstract": "abstract",
    "body": "body",
    "body_format": "body_format",
    "number": {"default": ""},
    "document_type": {"default": "TIN"},
    "language": {"from": "language", "pattern": "^[A-Za-z]{2,3}", "default": "vi"},
    "issued_on": ["published", "updated"],
    "canonical_url": "link",
    "attachments": "attachments",
}


class FeedConfig(WebPortalConfig):
    """Settings of a feed. Its items have: id, link, title, abstract, body, published, updated, author, category."""

    @property
    def asks_pages(self) -> bool:
        """Always: a feed shows its newest items only."""
        return True


class Feed(ReadOnlySource):
    """One RSS or Atom feed."""

    def __init__(self, config: FeedConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._rules = rules(DEFAULTS, config.mapping)
        self._client = surroundings.web()
        self._headers = {name: surroundings.secret(value) for name, value in config.headers.items()}

    def read(self, before: Before) -> Reading:
        """The newest items of the feed."""
        answer = self._client.get(
            self._config.address,
            etag=str(before.cursor.get("etag", "")),
            modified=str(before.cursor.get("modified", "")),
            headers=self._headers,
            robots=self._config.robots,
        )
        digest = sha256(answer.content).hexdigest()
        if answer.status == NOT_MODIFIED or (answer.status == 200 and digest == before.cursor.get("digest")):
            return Reading(listing=Listing.UNCHANGED, cursor=before.cursor)
        if answer.status != 200:
            raise ReadFailed(
                shown(self._config.address),
                f"the feed is gone: it answers {answer.status}",
                "Ask the portal where it is now, and change the address; nothing was withdrawn",
                refused=True,
            )
        items, remarks = items_of(answer, self._config.encoding)
        found = tuple(self._item(item, before) for item in items)
        complete = not any(item.remarks for item in found)  # a file that could not be read is tried again
        cursor = {"etag": answer.etag, "modified": answer.modified, "digest": digest} if complete else {}
        return Reading(found, Listing.WINDOW, cursor=cursor, remarks=tuple(remarks))

    def ask(self, item: Known) -> Presence:
        """Asks the item's page."""
        return presence_of(self._client, item.url, self._headers, self._config.robots)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def _item(self, item: Mapping[str, Any], before: Before) -> FoundItem:
        data = mapped(self._rules, item.get)
        remarks: list[Remark] = []
        given = data.pop("attachments", None)
        if given and self._config.attachments:
            known = before.known.get(item["id"])
            base = str(item.get("link") or self._config.address)
            found, remarks = completed(given, base, known.data if known else {}, self._client)
            data |= {"attachments": found} if found else {}
        moment = dates.moment(item.get("updated") or item.get("published"))
        return FoundItem(
            item["id"],
            data,
            url=str(item.get("link") or ""),
            occurred_at=dates.utc(moment) if moment else None,
            remarks=tuple(remarks),
        )


def items_of(answer: Answer, encoding: str = "") -> tuple[list[dict[str, Any]], list[Remark]]:
    """The items of a feed as flat records, and what is odd about it. Raises ReadFailed when it is no feed."""
    place = shown(answer.url)
    decoded = encodings.decode(answer.content, answer.charset, place, encoding)
    text = guarded(decoded.text, place)
    remarks = [Remark(place, decoded.remark)] if decoded.remark else []
    try:
        # Bytes in a file object: given a text, feedparser would take it for an address or a file name.
        parsed = feedparser.parse(
            BytesIO(text.encode("utf-8", "replace")),
            response_headers={"content-type": "application/xml; charset=utf-8"},
        )
    except Exception as error:  # feedparser has no list of what hostile input makes it raise
        raise ReadFailed(
            place, f"the feed cannot be read ({type(error).__name__})", "Check it with a validator"
        ) from error
    entries = list(parsed.get("entries", ()))
    if not entries and not parsed.get("version"):
        raise ReadFailed(place, "this is no RSS or Atom", "Is it the address of the feed, not of a page?", refused=True)
    if parsed.get("bozo") and not isinstance(parsed.get("bozo_exception"), feedparser.CharacterEncodingOverride):
        remarks.append(Remark(place, f"the feed is not well-formed ({_bozo(parsed)}); it was read as far as possible"))
        if entries and not ENDS.search(text[-TAIL:]):
            remarks.append(
                Remark(place, "the feed ends too early; its last item was left out, as it may be half of one")
            )
            entries.pop()
    language = str(parsed.get("feed", {}).get("language") or "")
    found = []
    for number, entry in enumerate(entries, 1):
        item = _record(entry, language, answer.url)
        if item is None:
            remarks.append(Remark(f"{place}, item {number}", "it is empty; left out"))
        else:
            found.append(unmasked(item))
    return found, remarks


def _record(entry: Mapping[str, Any], language: str, base: str) -> dict[str, Any] | None:
    # Addresses are made absolute here, not by feedparser: it would do so with ids too, which then hang on the feed's.
    # Without ids, what follows the # may be all that tells the notices of one page apart.
    link = str(entry.get("link") or "").strip()
    link = urldefrag(link).url if entry.get("id") else link
    title = plain(str(entry.get("title") or ""))
    published = str(entry.get("published") or entry.get("created") or "")
    name = one_line(str(entry.get("id") or "")) or link
    if not link and is_web_address(name):
        link = name
    body, html = _body(entry)
    body = absolute(body, base) if html else body
    summary = plain(str(entry.get("summary") or ""))
    name = name or _made_up(title, published, body)
    if not name:
        return None
    return {
        "id": name,
        "link": urljoin(base, link) if link else "",
        "title": one_line(title),
        "abstract": summary if summary and summary != plain(body) else None,
        "body": body,
        "body_format": "HTML" if html else "TEXT",
        "published": published,
        "updated": str(entry["updated"] or "") if "updated" in entry else "",
        "author": str(entry.get("author") or ""),
        "category": "; ".join(str(tag.get("term") or "") for tag in entry.get("tags", ()) if tag.get("term")),
        "language": str(entry.get("language") or _content(entry).get("language") or language or ""),
        "attachments": [
            {"url": urljoin(base, str(file["href"]))}
            for file in entry.get("enclosures", ())
            if str(file.get("href") or "").strip()
        ],
    }


def _made_up(title: str, published: str, body: str) -> str:
    """An id for an item that has neither id nor link, empty for an empty item."""
    said = f"{title}\n{published}" if title else plain(body)
    return "sha256:" + sha256(said.encode()).hexdigest() if said else ""


def _content(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    contents = entry.get("content") or ()
    return max(contents, key=lambda one: len(str(one.get("value") or "")), default={})


def _body(entry: Mapping[str, Any]) -> tuple[str, bool]:
    """The fullest text of an entry, and whether it is HTML."""
    content = _content(entry)
    text = str(content.get("value") or entry.get("summary") or "")
    if looks_like_html(text):
        return text.strip(), True
    return plain(text), False


def _bozo(parsed: Mapping[str, Any]) -> str:
    error = parsed.get("bozo_exception")
    line = getattr(error, "getLineNumber", lambda: None)()
    said = getattr(error, "getMessage", lambda: type(error).__name__)()
    return f"line {line}: {said}" if line else str(said)[:200]


FEED = Kind("feed", FeedConfig, Feed, DEFAULTS)
