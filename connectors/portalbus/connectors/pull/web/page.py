"""What a page says: its title, its text without what surrounds it, its dates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urljoin

import nh3
from lxml import etree, html

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.mapping import one_line

PARSER_ENCODING = "utf-8"
CONTENT = (
    "//*[@itemprop='articleBody']",
    "//article",
    "//main",
    "//*[@role='main']",
    "//body",
)
"""Where the text of a page is, the first that is there."""
AROUND = ".//script|.//style|.//noscript|.//nav|.//header|.//footer|.//aside|.//form|.//iframe|.//button"
"""What stands around the text, and changes when the text does not."""
PUBLISHED = ("article:published_time", "datePublished", "date", "dc.date", "dcterms.issued", "pubdate")
MODIFIED = ("article:modified_time", "dateModified", "dcterms.modified", "last-modified")
FILES = (".pdf", ".doc", ".docx", ".xls", ".xlsx", ".odt", ".zip", ".rar")
PATHS = ("/", "(", "./")


class Page:
    """One page as a record. Places: title, body, body_format, description, published, modified, language, author,
    attachments, `meta:NAME`, or an XPath (`//div[@class="so-hieu"]`) whose text counts.
    """

    def __init__(self, text: str, url: str, content: str = "", ignore: Sequence[str] = ()) -> None:
        """Raises ReadFailed when there is nothing to read."""
        self._url = url
        try:
            parser = html.HTMLParser(encoding=PARSER_ENCODING, remove_comments=True)
            self._tree = html.document_fromstring(text.encode(PARSER_ENCODING, "replace"), parser=parser)
        except (etree.ParserError, etree.XMLSyntaxError, ValueError):
            raise ReadFailed(url, "the page is empty or no HTML") from None
        self._linked = list(self._json_ld())
        self._content = self._find_content((content,) if content else CONTENT, url)
        for path in (AROUND, *ignore):
            for element in self._elements(self._content, path):
                if element is not self._content:
                    element.drop_tree()

    def look(self, place: str) -> Any:
        """What the page has at a place; None for nothing."""
        if place.startswith(PATHS):
            found = self._texts(place)
            return found[0] if len(found) == 1 else found or None
        if place.startswith("meta:"):
            return self._meta(place.removeprefix("meta:"))
        ask = getattr(self, f"_{place}", None) if place in PLACES else None
        return ask() if ask is not None else None

    def _title(self) -> str | None:
        heading = self._elements(self._tree, "//h1")
        texts = (self._meta("og:title"), one_line(heading[0].text_content()) if heading else "")
        return next((text for text in texts if text), None) or next(iter(self._texts("//title")), None)

    def _body(self) -> str | None:
        inner = etree.tostring(self._content, encoding="unicode", method="html", with_tail=False)
        cleaned = nh3.clean(inner).strip()
        return cleaned if self._content.text_content().strip() else None

    def _body_format(self) -> str:
        return "HTML"

    def _description(self) -> str | None:
        return self._meta("og:description") or self._meta("description")

    def _published(self) -> str | None:
        return self._dated(PUBLISHED) or next(iter(self._texts("//time/@datetime")), None)

    def _modified(self) -> str | None:
        return self._dated(MODIFIED)

    def _language(self) -> str | None:
        return next(iter(self._texts("/html/@lang")), None)

    def _author(self) -> str | None:
        return self._meta("author")

    def _attachments(self) -> list[dict[str, str]]:
        links = self._elements(self._content, ".//a[@href]")
        found = {
            urljoin(self._url, str(link.get("href")).strip()): one_line(link.text_content())
            for link in links
            if str(link.get("href")).partition("?")[0].strip().lower().endswith(FILES)
        }
        return [{"url": url, "name": name} for url, name in found.items()]

    def _dated(self, names: Sequence[str]) -> str | None:
        for name in names:
            for record in self._linked:
                if isinstance(record.get(name), str) and record[name].strip():
                    return str(record[name]).strip()
            if found := self._meta(name):
                return found
        return None

    def _meta(self, name: str) -> str | None:
        # A name from the configuration is a variable of the XPath, never a part of it.
        path = "//meta[@name=$name or @property=$name or @itemprop=$name]/@content|//*[@itemprop=$name]/@datetime"
        found = self._tree.xpath(path, name=name)
        return next((one_line(str(text)) for text in found if str(text).strip()), None)

    def _json_ld(self) -> Iterator[dict[str, Any]]:
        for script in self._elements(self._tree, "//script[@type='application/ld+json']"):
            try:
                found = json.loads(script.text or "")
            except (ValueError, RecursionError):
                continue
            graph = found.get("@graph", [found]) if isinstance(found, dict) else found
            yield from (one for one in graph if isinstance(one, dict)) if isinstance(graph, list) else ()

    def _find_content(self, paths: Sequence[str], url: str) -> Any:
        for path in paths:
            if found := self._elements(self._tree, path):
                return found[0]
        if paths is CONTENT:
            return self._tree
        raise ReadFailed(url, f"the page has no {paths[0]}", "Change content: in the configuration")

    def _elements(self, under: Any, path: str) -> list[Any]:
        found = under.xpath(path)
        return [one for one in found if isinstance(one, html.HtmlElement)] if isinstance(found, list) else []

    def _texts(self, path: str) -> list[str]:
        found = self._tree.xpath(path)
        parts = found if isinstance(found, list) else [found]
        texts = (one.text_content() if isinstance(one, html.HtmlElement) else str(one) for one in parts)
        return [text for text in map(one_line, texts) if text]


PLACES = frozenset(
    {"title", "body", "body_format", "description", "published", "modified", "language", "author", "attachments"}
)


def xpath(path: str) -> str:
    """The path. Raises ValueError when it is no XPath."""
    try:
        etree.XPath(path)
    except etree.XPathSyntaxError as error:
        raise ValueError(f"{path} is no XPath: {error}") from None
    return path
