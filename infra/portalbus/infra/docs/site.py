"""Builds the site: plain HTML files with one style sheet, no script, and no address outside of it that is needed.

Each page stands there once a language: in English at the site's root, in the others below a folder of their name.
What was written as markdown is English in all three, and the page around it says so.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files as resources
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from portalbus.infra.docs.asyncapi import asyncapi
from portalbus.infra.docs.catalogue import entries
from portalbus.infra.docs.measured import Measured
from portalbus.infra.docs.openapi import openapi
from portalbus.infra.docs.rule_examples import example_of
from portalbus.infra.docs.spoken import known_texts, spoken
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.filled_texts import LANGUAGES, OWN_NAMES
from portalbus.streams.metrics.defined import METRICS

SCROLLING = '<div class="table-box" role="group" tabindex="0" aria-label="Table {}"><table>'
MARK = "portalbus.connectors.central"
"""Whose mark the pages show."""
PAGES = ("events", "rules", "metrics", "machine")
LINK_TO_MARKDOWN = re.compile(r'href="(?!https?:)([^"#]+)\.md(#[^"]*)?"')
LINK_TO_SOURCE = re.compile(r'<a href="(?!https?:|#)([^"]+)">(.*?)</a>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """A page that was written as markdown: where it goes, its title, and the languages that its text is in."""

    address: str
    title: str
    section: str
    html: str
    languages: tuple[str, ...]


def build(out: Path, source: Path, measured: Measured | None = None) -> list[Path]:
    """Writes the site into `out` from the packages and the markdown in `source`; returns the files. Overwrites.

    What was `measured` on a running bus stands beside each record; without it the pages say that nothing was.
    """
    written = list(_markdown(source))
    pages = _environment(written)
    files: dict[str, str] = {}
    context: Mapping[str, Any] = {
        "entries": entries(),
        "rules": catalogue().values(),
        "examples": {rule: example_of(rule) for rule in catalogue()},
        "measured": measured,
        "metrics": METRICS,
    }
    for language in LANGUAGES:
        for name in ("index", *PAGES):
            template = pages.get_template(f"{name}.html")
            files[place(f"{name}.html", language)] = template.render(**_frame(f"{name}.html", language), **context)
        for page in written:
            told = pages.get_template("page.html").render(**_frame(page.address, language), page=page)
            files[place(page.address, language)] = told
    files["style.css"] = pages.get_template("style.css").render()
    files["mark.svg"] = (
        resources("portalbus.connectors.central").joinpath("static/mark.svg").read_text(encoding="utf-8")
    )
    files["asyncapi.json"] = _json(asyncapi())
    files.update({f"openapi-{name}.json": _json(document) for name, document in openapi().items()})
    return [_write(out / name, text) for name, text in sorted(files.items())]


def place(address: str, language: str) -> str:
    """Where a page stands in a language."""
    return address if language == "en" else f"{language}/{address}"


def _frame(address: str, language: str) -> dict[str, Any]:
    """What the frame of a page wants: the way to the site's root and to the pages of its language, and its texts."""
    root = "../" * place(address, language).count("/")
    return {
        "language": language,
        "root": root,
        "home": root + place("", language),
        "elsewhere": {one: root + place(address, one) for one in LANGUAGES},
        "say": partial(spoken, language),
    }


def _markdown(source: Path) -> Iterable[Written]:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    for section in (".", "howto", "adr"):
        for path in sorted((source / section).glob("*.md")):
            text = path.read_text(encoding="utf-8")
            title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), path.stem)
            address = posixpath.normpath(f"{section}/{path.stem}.html")
            html = _usable(LINK_TO_MARKDOWN.sub(r'href="\1.html\2"', reader.render(text)))
            parts = [language for language, name in OWN_NAMES.items() if f"\n## {name}\n" in text]
            yield Written(address, title, section, _only_inner_links(html, path.parent, source), tuple(parts or ["en"]))


def _usable(html: str) -> str:
    """What may be wider than a screen scrolls by itself, with the keyboard too; nothing empty is a heading."""
    html = html.replace("<pre>", '<pre tabindex="0">').replace("</table>", "</table></div>")
    html = html.replace("<th></th>", "<td></td>")  # the corner of a table is no heading
    tables = count(1)
    return re.sub("<table>", lambda _: SCROLLING.format(next(tables)), html)


def _only_inner_links(html: str, folder: Path, source: Path) -> str:
    """What a link to a file outside of the site says is kept; the link is not."""

    def keep(link: re.Match[str]) -> str:
        target = (folder / link[1].partition("#")[0]).with_suffix(".md").resolve()
        inside = link[1].partition("#")[0].endswith(".html") and target.is_relative_to(source.resolve())
        return link[0] if inside and target.exists() else link[2]

    return LINK_TO_SOURCE.sub(keep, html)


def _environment(written: list[Written]) -> Environment:
    found = Environment(
        loader=PackageLoader("portalbus.infra.docs"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(written=written, version=version("portalbus"), safe=Markup, own_names=OWN_NAMES)
    found.tests["titled"] = lambda page: page.title in known_texts()
    found.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    return found


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
