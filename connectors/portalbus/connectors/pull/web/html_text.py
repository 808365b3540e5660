"""Plain text out of HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from lxml import etree
from lxml.html import make_links_absolute

# Every pattern ends at the next `<`, and what was taken is not given back to be taken otherwise (`*+`), so each
# character is looked at a few times and no more: a sanitiser that builds a tree needs minutes for half a megabyte of
# nested <div>. What comes out is text and is shown as text. A `>` in quotes does not end a tag, unless a quote is left
# open.
TAG = re.compile(
    r"(?P<comment><!--)"
    r"|</?(?P<name>[a-zA-Z][a-zA-Z0-9:-]{0,40}+)"
    r"(?:(?:[^<>\"']|\"[^\"<]{0,4000}\"|'[^'<]{0,4000}'|[\"'])*+>|[^<>]*>)"
    r"|<[!?/][^<>]*>"
)
MARKUP = re.compile(r"<[a-zA-Z/!][^<>]*>")
BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)
UNSEEN = frozenset({"script", "style", "head", "title", "template", "noscript", "iframe", "object", "svg", "textarea"})
"""Elements whose content is no text of the page."""
RELATIVE = re.compile(r"\b(?:href|src)\s*=\s*[\"']?(?![a-z][a-z0-9+.-]*:|[\"'#\s>])", re.IGNORECASE)


def plain(text: str) -> str:
    """The text that a piece of HTML shows, a line per block, without scripts and styles."""
    if not MARKUP.search(text):
        return html.unescape(text).strip()
    lines = (" ".join(line.split()) for line in html.unescape("".join(_pieces(text))).splitlines())
    return "\n".join(line for line in lines if line)


def _pieces(text: str) -> Iterator[str]:
    """The text between the tags, with a line break at each block."""
    lowered = text.lower()
    at = 0
    while (tag := TAG.search(text, at)) is not None:
        yield text[at : tag.start()]
        at = tag.end()
        name = (tag["name"] or "").lower()
        if tag["comment"]:
            at = _after(text, "-->", at)
        elif name in UNSEEN and not tag[0].startswith("</"):
            at = _after(lowered, f"</{name}", at)
        elif name in BLOCKS:
            yield "\n"
    yield text[at:]


def _after(text: str, end: str, start: int) -> int:
    """Where something ends: behind `-->`, before `</script`; the text's own end when it never does."""
    found = text.find(end, start)
    return len(text) if found < 0 else found + (len(end) if end == "-->" else 0)


def looks_like_html(text: str) -> bool:
    """Whether a text has markup in it."""
    return MARKUP.search(text) is not None


def absolute(text: str, base: str) -> str:
    """A piece of HTML whose relative links are made absolute; the piece as it is when it has none."""
    if not RELATIVE.search(text):
        return text
    try:
        return str(make_links_absolute(text, base))
    except (etree.LxmlError, ValueError):
        return text
