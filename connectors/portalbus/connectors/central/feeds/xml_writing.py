"""Feeds as XML. What XML 1.0 cannot hold is replaced, whoever sent it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from portalbus.connectors.central.feeds.feed import Entry, Feed

ATOM = "http://www.w3.org/2005/Atom"
DC = "http://purl.org/dc/elements/1.1/"
XML = "http://www.w3.org/XML/1998/namespace"
MEDIA_TYPES = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MARKS = "urn:portalbus:mark"

register_namespace("dc", DC)
register_namespace("atom", ATOM)


def written(feed: Feed, form: str) -> bytes:
    """The feed as a document: `atom` or `rss`."""
    root = _atom(feed) if form == "atom" else _rss(feed)
    text: str = tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text.encode()


def clean(text: str) -> str:
    """The text with U+FFFD for every character that XML 1.0 has no way to write."""
    return NOT_XML.sub("\ufffd", text)


def _atom(feed: Feed) -> Element:
    # Unprefixed, as readers are used to: the namespace is declared by hand, so the names below are local ones.
    root = Element("feed", {"xmlns": ATOM, "xml:lang": feed.language})
    _put(root, "id", feed.id)
    _put(root, "title", feed.title)
    _put(root, "subtitle", feed.subtitle)
    _put(root, "updated", _rfc3339(feed.updated or NEVER))
    _put(SubElement(root, "author"), "name", feed.author)
    _put(root, "generator", "portalbus")
    _link(root, "self", feed.addresses["atom"], MEDIA_TYPES["atom"])
    _link(root, "alternate", feed.link, "text/html")
    for entry in feed.entries:
        _atom_entry(SubElement(root, "entry", {"xml:lang": entry.language}), entry)
    return root


def _atom_entry(element: Element, entry: Entry) -> None:
    _put(element, "id", entry.id)
    _put(element, "title", entry.title)
    _put(element, "published", _rfc3339(entry.published))
    _put(element, "updated", _rfc3339(entry.updated))
    _put(SubElement(element, "author"), "name", entry.author)
    _link(element, "alternate", entry.link, "text/html")
    if entry.data_link:
        _link(element, "related", entry.data_link, "application/json")
    for code, name in entry.marks:
        SubElement(element, "category", {"term": clean(code), "scheme": MARKS, "label": clean(name)})
    _put(element, "summary", entry.summary)


def _rss(feed: Feed) -> Element:
    root = Element("rss", {"version": "2.0"})
    channel = SubElement(root, "channel")
    _put(channel, "title", feed.title)
    _put(channel, "link", feed.link)
    _put(channel, "description", feed.subtitle)
    _put(channel, "language", feed.language)
    _put(channel, "lastBuildDate", _rfc822(feed.updated or NEVER))
    _put(channel, "generator", "portalbus")
    _link(channel, "self", feed.addresses["rss"], MEDIA_TYPES["rss"], name=f"{{{ATOM}}}link")
    for entry in feed.entries:
        _rss_item(SubElement(channel, "item"), entry)
    return root


def _rss_item(element: Element, entry: Entry) -> None:
    _put(element, "title", entry.title)
    _put(element, "link", entry.link)
    _put(element, "guid", entry.id, isPermaLink="false")
    _put(element, "pubDate", _rfc822(entry.published))
    _put(element, f"{{{ATOM}}}updated", _rfc3339(entry.updated))
    _put(element, f"{{{DC}}}creator", entry.author)
    _put(element, f"{{{DC}}}language", entry.language)
    for code, name in entry.marks:
        _put(element, "category", name, domain=f"{MARKS}:{code}")
    _put(element, "description", _as_html(entry.summary))


def _put(parent: Element, name: str, text: str, **attributes: str) -> None:
    SubElement(parent, name, {key: clean(value) for key, value in attributes.items()}).text = clean(text)


def _link(parent: Element, rel: str, href: str, media_type: str, name: str = "link") -> None:
    SubElement(parent, name, {"rel": rel, "type": media_type, "href": clean(href)})


def _as_html(text: str) -> str:
    """RSS readers take a description for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rfc822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)
