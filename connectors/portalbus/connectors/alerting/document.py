"""A document for people, as text and as HTML: a title, paragraphs, and sections with tables."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

CELL = 'style="border:1px solid #bbb;padding:4px 8px;text-align:left;vertical-align:top"'


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; each has as many cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document."""

    title: str
    lines: tuple[str, ...] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What a report says."""

    language: str
    title: str
    sections: tuple[Section, ...]
    foot: str


def as_text(document: Document) -> str:
    """The document for a program that shows text alone; a table's rows become blocks of lines."""
    lines = [document.title, "=" * len(document.title), ""]
    for section in document.sections:
        lines += [section.title, "-" * len(section.title), *section.lines]
        for row in section.table.rows if section.table else ():
            head = section.table.head if section.table else ()
            lines += ["", *(f"{name}: {cell}" for name, cell in zip(head, row, strict=True))]
        lines.append("")
    return "\n".join([*lines, document.foot, ""])


def as_html(document: Document) -> str:
    """The document as one page that fetches nothing."""
    parts = [
        f'<!doctype html><html lang="{document.language}"><head><meta charset="utf-8">'
        f"<title>{escape(document.title)}</title></head>",
        '<body style="font-family:sans-serif;line-height:1.4;max-width:60rem">',
        f"<h1>{escape(document.title)}</h1>",
    ]
    for section in document.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{escape(line)}</p>" for line in section.lines]
        if section.table:
            parts.append(_table(section.table))
    return "\n".join([*parts, f"<p><small>{escape(document.foot)}</small></p></body></html>"])


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col" {CELL}>{escape(name)}</th>' for name in table.head)
    rows = "".join(f"<tr>{''.join(f'<td {CELL}>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
