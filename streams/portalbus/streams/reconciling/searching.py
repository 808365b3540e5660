"""What a directive is found by: the folded words of its newest version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.streams.ledger.writing import searched_words
from portalbus.streams.reconciling.difference import Difference, Kind, Place
from portalbus.streams.reconciling.reading import ROWS_AT_ONCE, Scope

NEWEST: LiteralString = """
select distinct on (key) key, document->>'number', document->>'title', document->>'abstract', document->>'body'
from ledger.directive_version v
where (%(agencies)s::text[] is null or split_part(key, '/', 1) = any(%(agencies)s))
  and (%(slice)s::int4 is null or abs(hashtext(key)::int8) %% 24 = %(slice)s)
order by key, version desc"""
UNLIKE: LiteralString = """
select d.agency, d.key from unnest(%s::text[], %s::text[]) as q(key, words) join ledger.directive d using (key)
where d.search is distinct from to_tsvector('simple', q.words)"""


def read_unsearchable(connection: Connection[Any], scope: Scope, rest: Callable[[], None]) -> Iterator[Difference]:
    """Directives that are found by other words than theirs; looked for when everything is compared."""
    if scope.since is not None:
        return
    with connection.transaction(), connection.cursor(f"search_{secrets.token_hex(4)}") as cursor:
        cursor.execute(NEWEST, scope.parameters())
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            keys = [row[0] for row in rows]
            words = [searched_words(*(text or "" for text in row[1:])) for row in rows]
            for agency, key in connection.execute(UNLIKE, (keys, words)).fetchall():
                yield Difference(Kind.ALTERED, Place.DIRECTIVE, agency, key=key, columns=("search",))
            rest()
