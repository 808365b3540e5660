"""Which portals carry a directive of another body, and which do not yet: by what they themselves published.

A portal carries it when it published a document with its number and date, or one that names it as what it relates to. A
portal may show a directive without saying so: of that the bus knows nothing, and does not claim the opposite either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

DIRECTIVE = """
select d.key, d.agency, d.number, d.document_type, d.title, d.language, d.issued_on, d.published_at, d.withdrawn,
    array(select jsonb_array_elements_text(v.document->'recipients')) as recipients
from ledger.directive d join ledger.directive_version v using (key, version) where d.key = %s"""
BY_NUMBER = """
select key from ledger.directive where number <> '' and search.fold(number) = search.fold(%s) order by issued_on desc
limit 20"""
CARRIERS = """
with copies as (
    select d.key, 'COPY' as how from ledger.directive d
    where %(number)s::text <> '' and d.number <> '' and search.fold(d.number) = search.fold(%(number)s)
      and d.issued_on = %(issued_on)s and not d.withdrawn
), related as (
    select v.key, r.relation->>'kind' as how
    from ledger.directive_version v join ledger.directive d using (key, version),
        lateral jsonb_array_elements(v.document->'relations') as r(relation)
    where v.document->'relations' <> '[]' and not d.withdrawn and r.relation->>'target' = any(%(targets)s)
      and (v.document->'relations' @> jsonb_build_array(jsonb_build_object('target', %(key)s::text))
           or v.document->'relations' @> jsonb_build_array(jsonb_build_object('target', %(number)s::text)))
)
select distinct on (d.agency) d.agency, d.key, d.title, d.language, d.published_at, found.how
from (select * from copies union all select * from related) found join ledger.directive d using (key)
where split_part(d.agency, '.', 1) <> %(agency)s order by d.agency, (found.how <> 'COPY'), d.published_at"""
RECENT = """
select key from ledger.directive where agency = %s and not withdrawn order by published_at desc limit %s"""
SHARED = """
select count(distinct agency) > 1 from ledger.directive
where number <> '' and search.fold(number) = search.fold(%s) and issued_on <> %s"""


@dataclass(frozen=True, slots=True)
class CoveredDirective:
    """The directive that is asked about; `recipients` are the bodies it names."""

    key: str
    agency: str
    number: str
    document_type: str
    title: str
    language: str
    issued_on: date
    published_at: datetime
    withdrawn: bool
    recipients: list[str]


@dataclass(frozen=True, slots=True)
class Carrier:
    """An agency whose portal carries it: by which document of its own, since when, as a COPY or by kind of relation."""

    agency: str
    key: str
    title: str
    language: str
    published_at: datetime
    how: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """A directive and who carries it, by agency."""

    directive: CoveredDirective
    carriers: dict[str, Carrier]


def coverage(connection: Connection[Any], asked: str) -> Coverage | None:
    """Who carries the directive with this key or number; None when there is none."""
    directive = _directive(connection, asked.strip())
    if directive is None:
        return None
    # Provinces number alike: a number that several bodies use names nobody's document without its date.
    row = connection.execute(SHARED, (directive.number, directive.issued_on)).fetchone()
    shared = bool(row and row[0])
    targets = [directive.key] if shared or not directive.number else [directive.key, directive.number]
    values = {
        "number": directive.number,
        "issued_on": directive.issued_on,
        "key": directive.key,
        "targets": targets,
        "agency": directive.agency.split(".")[0],
    }
    with connection.cursor(row_factory=class_row(Carrier)) as cursor:
        carriers = cursor.execute(CARRIERS, values).fetchall()
    return Coverage(directive, {carrier.agency.split(".")[0]: carrier for carrier in carriers})


def recent_coverage(connection: Connection[Any], agency: str, limit: int = 10) -> list[Coverage]:
    """The newest directives of a body, each with who carries it."""
    keys = [key for (key,) in connection.execute(RECENT, (agency, limit))]
    return [found for key in keys if (found := coverage(connection, key))]


def _directive(connection: Connection[Any], asked: str) -> CoveredDirective | None:
    with connection.cursor(row_factory=class_row(CoveredDirective)) as cursor:
        found = cursor.execute(DIRECTIVE, (asked,)).fetchone()
        if found is not None:
            return found
        for (key,) in connection.execute(BY_NUMBER, (asked,)).fetchall():
            return cursor.execute(DIRECTIVE, (key,)).fetchone()
    return None
