"""A directive's body made safe to show: text exactly as it was published, HTML through an allow-list."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from html.parser import HTMLParser

import nh3
from markupsafe import Markup, escape

from portalbus.schemas.models import BodyFormat

TAGS = """
    a abbr b blockquote br caption cite code col colgroup dd del dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6
    hr i ins li ol p pre q rp rt ruby s samp small span strong sub sup table tbody td tfoot th thead time tr u
    ul var wbr
""".split()  # noqa: SIM905 - a list of sixty strings is harder to read
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"lang", "dir", "title"},
    "a": {"href", "hreflang"},
    "img": {"alt"},
    "ol": {"start", "reversed", "type"},
    "li": {"value"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "headers", "scope"},
    "time": {"datetime"},
    "q": {"cite"},
    "blockquote": {"cite"},
}
# The page owns h1 and h2; a document's headings go below them, so that the outline stays in order.
HEADINGS = re.compile(r"(</?h)([1-6])\b")
IMAGES = re.compile(r"<img\b([^>]*)>")
ALT = re.compile(r'\balt="([^"]*)"')
IMAGE_TEXT = "image-text"

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
CLOSED_BY_ITSELF = frozenset(
    "a area base br col dd dt embed hr img input li link meta option p source td th tr track wbr".split()  # noqa: SIM905
)
MOST_DEPTH = 200
"""Elements inside each other: building a tree takes the square of it, seconds for some thousands."""


def shown_body(body: str, body_format: BodyFormat) -> Markup:
    """The body as markup for the page: escaped text, or sanitised HTML."""
    return exact_text(body) if body_format is BodyFormat.TEXT else sanitised_html(body)


def exact_text(text: str) -> Markup:
    """Text whose `textContent` in a browser is the same, character for character.

    An HTML parser turns a bare carriage return into a line feed, so it is written as a reference.
    """
    return Markup(str(escape(text)).replace("\r", "&#13;"))  # noqa: S704 - escaped just before


@lru_cache(maxsize=64)
def sanitised_html(html: str) -> Markup:
    """HTML without scripts, styles, forms, frames, handlers and remote images; links open no back door.

    What is nested deeper than any document is, to keep a page busy, is shown as the text that it is.
    """
    if is_too_deep(html):
        return exact_text(html)
    lowered = HEADINGS.sub(lambda found: f"{found[1]}{min(int(found[2]) + 2, 6)}", _cleaned(html, {*TAGS, "img"}))
    # What was rewritten goes through the sanitiser again: it has the last word on what is shown.
    return Markup(_cleaned(IMAGES.sub(_image_in_words, lowered), set(TAGS)))  # noqa: S704


def _cleaned(html: str, tags: set[str]) -> str:
    return nh3.clean(
        html,
        tags=tags,
        attributes=ATTRIBUTES,
        tag_attribute_values={"span": {"class": {IMAGE_TEXT}}},
        url_schemes={"http", "https", "mailto", "tel"},
        url_relative="deny",
        link_rel="noopener nofollow",
    )


def plain_text(body: str, body_format: str) -> str:
    """The words of a body without markup, for excerpts and for finding words in it."""
    if body_format != BodyFormat.HTML:
        return body
    if is_too_deep(body):
        return " ".join(body.split())
    reader = _TextOnly()
    reader.feed(nh3.clean(body, tags=set(TAGS), attributes=ATTRIBUTES))
    reader.close()
    return " ".join("".join(reader.parts).split())


def is_too_deep(html: str) -> bool:
    """True when more than MOST_DEPTH elements are open at once; an end counts for its own kind alone."""
    opened: Counter[str] = Counter()
    depth = 0
    for ends, name in TAG.findall(html):
        kind = name.lower()
        if kind in CLOSED_BY_ITSELF:
            continue
        if not ends:
            opened[kind] += 1
            depth += 1
        elif opened[kind]:
            opened[kind] -= 1
            depth -= 1
        if depth > MOST_DEPTH:
            return True
    return False


def _image_in_words(found: re.Match[str]) -> str:
    """An image is not fetched from elsewhere; what it shows is said in words."""
    alt = ALT.search(found[1])
    return f'<span class="{IMAGE_TEXT}">{alt[1]}</span>' if alt and alt[1] else ""


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(" ")
