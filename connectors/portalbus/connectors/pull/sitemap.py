"""The kind `sitemap`: the pages that a sitemap lists, read one by one as they change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from lxml import etree
from pydantic import AfterValidator, Field

from portalbus.connectors.pull import dates
from portalbus.connectors.pull.config import Seconds
from portalbus.connectors.pull.found import Before, FoundItem, Known, Listing, Presence, Reading, Remark
from portalbus.connectors.pull.kind import Kind, NotYet, ReadFailed, ReadOnlySource, Surroundings
from portalbus.connectors.pull.mapping import mapped, rules
from portalbus.connectors.pull.web import encodings
from portalbus.connectors.pull.web.attachments import completed
from portalbus.connectors.pull.web.bodies import inflate
from portalbus.connectors.pull.web.client import GONE, Answer, shown
from portalbus.connectors.pull.web.page import Page, xpath
from portalbus.connectors.pull.web.presence import presence_of
from portalbus.connectors.pull.web.record import unmasked
from portalbus.connectors.pull.web.settings import WebPortalConfig
from portalbus.connectors.pull.web.xml_text import guarded

GZIP = b"\x1f\x8b"
MAX_SITEMAPS = 100
UNPACKED = 50 * 1024 * 1024
"""The sitemap protocol's own bound of one file, unpacked."""

DEFAULTS: Mapping[str, Any] = {
    "title": "title",
    "abstract": "description",
    "body": "body",
    "body_format": "body_format",
    "number": {"default": ""},
    "document_type": {"default": "TIN"},
    "language": {"from": "language", "pattern": "^[A-Za-z]{2,3}", "default": "vi"},
    "issued_on": ["published", "modified", "lastmod"],
    "canonical_url": "url",
    "attachments": "attachments",
}

Path = Annotated[str, AfterValidator(xpath)]


class SitemapConfig(WebPortalConfig):
    """Settings of a sitemap. `only` and `never` are patterns on the page's address. `content` is the XPath of the
    element with the text, `ignore` XPaths of what in it changes by itself (counters, related news). At most `pages`
    are read in a pass; a page without lastmod is read again after `again`.
    """

    only: re.Pattern[str] | None = None
    never: re.Pattern[str] | None = None
    content: Path = "//body"
    ignore: tuple[Path, ...] = ()
    pages: Annotated[int, Field(ge=1, le=5_000)] = 50
    again: Seconds = 24 * 3_600.0

    @property
    def asks_pages(self) -> bool:
        """Always: a page may drop out of a sitemap and stand."""
        return True


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a sitemap."""

    url: str
    lastmod: str


class Sitemap(ReadOnlySource):
    """One site by its sitemap."""

    def __init__(self, config: SitemapConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._rules = rules(DEFAULTS, config.mapping)
        self._client = surroundings.web()
        self._clock = surroundings.clock
        self._headers = {name: surroundings.secret(value) for name, value in config.headers.items()}
        self._remarks: list[Remark] = []

    def read(self, before: Before) -> Reading:
        """The pages that are new or changed; the rest is listed."""
        listed = {line.url: line for line in self._listing()}
        items, gone = [], set()
        wanted = [line for line in listed.values() if self._is_wanted(line, before.known.get(line.url))]
        # What nobody knows yet comes first, then what was read longest ago.
        wanted.sort(key=lambda line: _read_at(before.known.get(line.url)))
        for line in wanted[: self._config.pages]:
            try:
                found = self._page(line, before.known.get(line.url))
            except NotYet as later:
                self._remarks.append(Remark(later.place, f"{len(wanted)} pages were to be read: {later.what}"))
                break
            except ReadFailed as failed:
                self._remarks.append(Remark(failed.place, failed.what))
                continue
            if isinstance(found, FoundItem):
                items.append(found)
            elif found is Presence.GONE:
                gone.add(line.url)
        return Reading(tuple(items), Listing.COMPLETE, frozenset(listed) - gone, {}, tuple(self._remarks))

    def ask(self, item: Known) -> Presence:
        """Asks the page."""
        return presence_of(self._client, item.url, self._headers, self._config.robots)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def _listing(self) -> list[Listed]:
        found: list[Listed] = []
        open_, seen = [self._config.address], set()
        while open_:
            address = open_.pop(0)
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_SITEMAPS:
                raise ReadFailed(shown(address), f"more than {MAX_SITEMAPS} sitemaps", "Name one of them instead")
            deeper, lines = self._sitemap(address)
            open_ += [one for one in deeper if self._is_own(one)]
            found += [line for line in lines if self._is_own(line.url)]
            if len(found) > self._config.max_items:
                break  # the engine says so
        only, never = self._config.only, self._config.never
        return [
            line
            for line in found
            if (only is None or only.search(line.url)) and (never is None or not never.search(line.url))
        ]

    def _sitemap(self, address: str) -> tuple[list[str], list[Listed]]:
        answer = self._client.get(address, headers=self._headers, robots=self._config.robots)
        place = shown(address)
        if answer.status != 200:
            mend = "Ask the portal where it is now, and change the address; nothing was withdrawn"
            raise ReadFailed(place, f"the sitemap is gone: it answers {answer.status}", mend, refused=True)
        content = answer.content
        if content.startswith(GZIP):
            content = inflate(place, content, UNPACKED)
        return parsed_sitemap(encodings.decode(content, answer.charset, place).text, place)

    def _is_own(self, url: str) -> bool:
        """A sitemap may list its own site only; another agency's pages are that agency's to publish."""
        own = _site(url) == _site(self._config.address)
        if not own:
            self._remarks.append(Remark(shown(url), "the sitemap lists a page of another site; left out"))
        return own

    def _is_wanted(self, line: Listed, known: Known | None) -> bool:
        if known is None or not known.mark:
            return True
        mark = _mark(known)
        if line.lastmod:
            return bool(mark.get("lastmod") != line.lastmod)
        read = dates.moment(mark.get("read"))
        return read is None or (self._clock() - read).total_seconds() >= self._config.again

    def _page(self, line: Listed, known: Known | None) -> FoundItem | Presence:
        mark = _mark(known)
        answer = self._client.get(
            line.url,
            etag=str(mark.get("etag", "")),
            modified=str(mark.get("modified", "")),
            headers=self._headers,
            robots=self._config.robots,
        )
        if answer.status in GONE:
            return Presence.GONE
        if answer.status != 200:
            return Presence.THERE
        return self._item(line, answer, known)

    def _item(self, line: Listed, answer: Answer, known: Known | None) -> FoundItem:
        place = shown(line.url)
        decoded = encodings.decode(answer.content, answer.charset, place, self._config.encoding)
        remarks = [Remark(place, decoded.remark)] if decoded.remark else []
        chosen = self._config.content if "content" in self._config.model_fields_set else ""
        page = Page(decoded.text, line.url, chosen, self._config.ignore)
        here = {"url": line.url, "lastmod": line.lastmod}
        data = unmasked(mapped(self._rules, lambda name: here.get(name) or page.look(name)))
        given = data.pop("attachments", None)
        if given and self._config.attachments:
            found, left_out = completed(given, line.url, known.data if known else {}, self._client)
            data |= {"attachments": found} if found else {}
            remarks += left_out
        mark = {
            "lastmod": line.lastmod,
            "etag": answer.etag,
            "modified": answer.modified,
            "read": self._clock().isoformat(),
        }
        when = dates.moment(line.lastmod) or dates.moment(page.look("modified") or page.look("published"))
        return FoundItem(
            line.url,
            data,
            url=line.url,
            occurred_at=dates.utc(when) if when else None,
            mark=json.dumps(mark),
            remarks=tuple(remarks),
        )


def parsed_sitemap(text: str, place: str) -> tuple[list[str], list[Listed]]:
    """Further sitemaps, and pages, that a sitemap lists. Raises ReadFailed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(guarded(text, place).strip().encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        raise ReadFailed(place, f"the sitemap is not well-formed ({error.msg})", "Check it with a validator") from None
    sitemaps, pages = [], []
    for element in root:
        if not isinstance(element.tag, str):
            continue
        said = {etree.QName(child).localname: (child.text or "").strip() for child in element if _is_element(child)}
        if not said.get("loc"):
            continue
        if etree.QName(element).localname == "sitemap":
            sitemaps.append(said["loc"])
        else:
            pages.append(Listed(said["loc"], said.get("lastmod", "")))
    if etree.QName(root).localname not in ("urlset", "sitemapindex"):
        raise ReadFailed(place, "this is no sitemap", "Is it the address of sitemap.xml?", refused=True)
    return sitemaps, pages


def _is_element(child: Any) -> bool:
    return isinstance(child.tag, str)


def _site(url: str) -> str:
    parts = urlsplit(url)
    return (parts.netloc or "").lower().removeprefix("www.")


def _mark(known: Known | None) -> dict[str, Any]:
    try:
        found = json.loads(known.mark) if known and known.mark else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _read_at(known: Known | None) -> str:
    return str(_mark(known).get("read", ""))


SITEMAP = Kind("sitemap", SitemapConfig, Sitemap, DEFAULTS)
