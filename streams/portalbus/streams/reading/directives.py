"""Directives as readers see them: lists, one with all its versions, and what changed since a position.

Lists are in the order of publication, newest first; two of the same instant by key, whatever becomes of them later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from psycopg.rows import class_row

from portalbus.schemas import search_text
from portalbus.schemas.models import DirectivePublished
from portalbus.streams.reading.pool import Connection

EXCERPT_CHARACTERS = 20_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = re.compile(r"[A-Z0-9.]{1,64}/[A-Za-z0-9._~-]{1,128}")


@dataclass(frozen=True, slots=True)
class DirectiveRow:
    """One directive at its newest version; times are the centre's."""

    key: str
    agency: str
    directive_id: str
    version: int
    withdrawn: bool
    number: str
    document_type: str
    title: str
    language: str
    field: str | None
    issued_on: date
    published_at: datetime
    changed_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class DirectiveVersion:
    """One version of a directive as its portal published it."""

    version: int
    action: str
    event_id: str
    received_at: datetime
    position: int
    document: DirectivePublished


@dataclass(frozen=True, slots=True)
class DirectiveHistory:
    """A directive and all its versions, oldest first."""

    row: DirectiveRow
    versions: tuple[DirectiveVersion, ...]

    def version(self, number: int | None = None) -> DirectiveVersion | None:
        """The version with this number; the newest without one."""
        if number is None:
            return self.versions[-1]
        return next((version for version in self.versions if version.version == number), None)

    @property
    def readable(self) -> DirectiveVersion:
        """The newest version that is not a withdrawal: the text that was last in force."""
        standing = [version for version in self.versions if version.action != "WITHDRAW"]
        return standing[-1] if standing else self.versions[-1]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: everything after it is older."""

    published_at: datetime
    key: str

    def __str__(self) -> str:
        return f"{(self.published_at - EPOCH) // timedelta(microseconds=1)}-{self.key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` wrote. Raises ValueError when it is no cursor."""
        instant, _, key = text.partition("-")
        if not (instant.isascii() and instant.isdecimal() and KEY.fullmatch(key)) or len(instant) > 17:
            raise ValueError("this is not a cursor that a list of directives gave")
        return cls(EPOCH + timedelta(microseconds=int(instant)), key)


@dataclass(frozen=True, slots=True)
class DirectiveFilter:
    """What a list is to hold. `text` is what a person typed; withdrawn directives only when asked for."""

    text: str = ""
    agency: str | None = None
    language: str | None = None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class DirectivePage:
    """One page of a list; `next` is None on the last one."""

    rows: tuple[DirectiveRow, ...]
    next: Cursor | None


COLUMNS = ", ".join(f"directive.{name}" for name in DirectiveRow.__dataclass_fields__)
# Only constants of this module are ever put into the text of a query; values go beside it.
SELECT = f"select {COLUMNS} from ledger.directive"
FIELDS = """
with recursive named as (
    (select field, 1 as number from ledger.directive where field is not null order by field limit 1)
    union all
    select (select d.field from ledger.directive d where d.field > named.field order by d.field limit 1), number + 1
    from named where named.field is not null and number < 200
) select field from named where field is not null"""
ORDER = "order by directive.published_at desc, directive.key"


async def directives(
    connection: Connection, wanted: DirectiveFilter, *, after: Cursor | None = None, limit: int = 20
) -> DirectivePage:
    """One page of the directives that match. A text without a single word matches nothing."""
    where: list[str] = [] if wanted.withdrawn else ["not directive.withdrawn"]
    values: dict[str, Any] = {"limit": limit + 1}
    if wanted.text:
        values["query"] = search_text.query(wanted.text)
        if not values["query"]:
            return DirectivePage((), None)
        where.append("directive.search @@ to_tsquery('simple', %(query)s)")
    if wanted.agency:
        where.append("directive.agency = %(agency)s")
        values["agency"] = wanted.agency
    if wanted.language:
        where.append("directive.language = %(language)s")
        values["language"] = wanted.language
    if after:
        # The first condition is what the index on published_at can use; the second breaks ties.
        where.append("directive.published_at <= %(instant)s")
        where.append("(directive.published_at < %(instant)s or directive.key > %(key)s)")
        values |= {"instant": after.published_at, "key": after.key}
    condition = f"where {' and '.join(where)}" if where else ""
    rows = await _rows(connection, f"{SELECT} {condition} {ORDER} limit %(limit)s", values)
    page = rows[:limit]
    more = Cursor(page[-1].published_at, page[-1].key) if len(rows) > limit else None
    return DirectivePage(tuple(page), more)


async def directive(connection: Connection, key: str) -> DirectiveHistory | None:
    """A directive with all its versions by its key `<agency>/<directive_id>`; None when there is none."""
    # In this order: a version written in between is in the second answer, never missing from it.
    row = await _rows(connection, f"{SELECT} where key = %(key)s", {"key": key})
    if not row:
        return None
    cursor = await connection.execute(
        "select version, action, event_id::text, received_at, position, document"
        " from ledger.directive_version where key = %s order by version",
        (key,),
    )
    versions = [
        DirectiveVersion(version, action, event_id, received_at, position, DirectivePublished.model_validate(document))
        async for version, action, event_id, received_at, position, document in cursor
    ]
    return DirectiveHistory(row[0], tuple(versions)) if versions else None


async def changed_between(
    connection: Connection, after: int, upto: int, *, limit: int = 50
) -> tuple[DirectiveRow, ...]:
    """The directives with an event accepted at a position in (after, upto], at their newest version.

    The oldest change comes first; when there are more than `limit`, only the newest ones.
    """
    # Read through the judgements' primary key, so that directives need no index on position.
    rows = await _rows(
        connection,
        f"{SELECT} where directive.key in ("
        " select event.key from ledger.judgement join ledger.event using (agency, lane_offset)"
        " where judgement.position > %(after)s and judgement.position <= %(upto)s"
        " and event.event_type = 'DirectivePublished' and judgement.status = 'ACCEPTED')"
        " order by directive.position desc limit %(limit)s",
        {"after": after, "upto": upto, "limit": limit},
    )
    return tuple(reversed(rows))


async def excerpts(connection: Connection, rows: Sequence[DirectiveRow]) -> dict[str, tuple[str, str]]:
    """The beginning of the abstract and body of these directives, with the body's format, by key."""
    cursor = await connection.execute(
        "select wanted.key, concat_ws(E'\\n', nullif(version.document->>'abstract', ''),"
        " left(version.document->>'body', %s)), version.document->>'body_format'"
        " from unnest(%s::text[], %s::int[]) as wanted(key, version)"
        " join ledger.directive_version as version using (key, version)",
        (EXCERPT_CHARACTERS, [row.key for row in rows], [row.version for row in rows]),
    )
    return {key: (text, body_format) async for key, text, body_format in cursor}


async def directives_of(connection: Connection, keys: Sequence[str]) -> tuple[DirectiveRow, ...]:
    """The directives with these keys, in their order; keys without one are left out."""
    rows = await _rows(connection, f"{SELECT} where directive.key = any(%(keys)s)", {"keys": list(keys)})
    by_key = {row.key: row for row in rows}
    return tuple(by_key[key] for key in keys if key in by_key)


async def known_fields(connection: Connection) -> tuple[str, ...]:
    """The fields of public life that directives name, by name, 200 at most; one look at the index for each."""
    cursor = await connection.execute(FIELDS)
    return tuple([name async for (name,) in cursor])


async def existing_keys(connection: Connection, keys: Sequence[str]) -> frozenset[str]:
    """Those of `keys` under which there is a directive."""
    cursor = await connection.execute("select key from ledger.directive where key = any(%s)", (list(keys),))
    return frozenset([key async for (key,) in cursor])


async def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[DirectiveRow]:
    async with connection.cursor(row_factory=class_row(DirectiveRow)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()
