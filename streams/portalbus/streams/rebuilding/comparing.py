"""Comparing the live ledger with its shadow, row by row, at one moment of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from psycopg import Connection

from portalbus.streams.rebuilding.fold_tables import FOLD, FoldTable
from portalbus.streams.rebuilding.shadow import SHADOW

SPOKEN = frozenset(
    {
        *("action", "agency", "answered_by", "case_id", "channel", "competent_agency", "directive_id", "document_type"),
        *("event_type", "field", "key", "kind", "language", "outcome", "owner", "path", "portal", "reason"),
        *("reason_code", "receiver", "record", "regime", "rule", "state", "status", "topic", "urgency"),
    }
)
"""Text columns that are shown; of any other text only a fingerprint is, for it may be a citizen's."""

COLUMNS = """
select column_name, data_type from information_schema.columns where table_schema = %s and table_name = %s
order by ordinal_position"""
STEPPED = "exists (select from ledger.step where step.position <= row.position and row.position < step.after)"
"""Which notices are a fold: those that a step made. The others were made by timers, of what the clock says."""

ABSENT = "–"


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that differs: by column what is in use and what was rebuilt, None where there is no such row."""

    table: str
    key: dict[str, str]
    live: dict[str, str] | None
    rebuilt: dict[str, str] | None

    @property
    def kind(self) -> str:
        """What is wrong with the live row."""
        return "altered" if self.live and self.rebuilt else "missing" if self.live is None else "added"


@dataclass(frozen=True, slots=True)
class TableDifference:
    """How a table differs: rows of both, and how many of the live ones are missing, added or altered."""

    table: str
    live: int
    rebuilt: int
    missing: int
    added: int
    altered: int
    first: tuple[RowDifference, ...]

    @property
    def rows(self) -> int:
        """How many rows differ."""
        return self.missing + self.added + self.altered


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A record on which the decision would be another one."""

    agency: str
    lane_offset: int
    event_type: str | None
    key: str | None
    status: str
    rule: str
    new_status: str
    new_rule: str


def compare(connection: Connection[Any], agencies: Sequence[str] = (), most: int = 10) -> list[TableDifference]:
    """How each table differs, with the first differing rows of each, `most` at most; of all agencies or of these.

    `connection` sees one moment of both.
    """
    return [_compare(connection, table, list(agencies), most) for table in FOLD]


def verdict_changes(
    connection: Connection[Any], agencies: Sequence[str] = (), most: int = 10
) -> tuple[dict[tuple[str, str], int], list[VerdictChange]]:
    """How many records get another decision, by old and new rule, and the first of them, `most` at most."""
    changed = (
        f"from ledger.event e join {SHADOW}.event s using (agency, lane_offset)"
        " where (e.status, e.rule) is distinct from (s.status, s.rule)"
        " and (%(agencies)s::text[] = '{}' or e.agency = any(%(agencies)s))"
    )
    values = {"agencies": list(agencies), "most": most}
    counts = connection.execute(
        f"select e.rule, s.rule, count(*) {changed} group by 1, 2 order by 3 desc, 1, 2", values
    )
    by_rule = {(before, after): int(count) for before, after, count in counts}
    rows = connection.execute(
        f"select agency, lane_offset, e.event_type, e.key, e.status, e.rule, s.status, s.rule {changed}"
        " order by e.received_at, agency, lane_offset limit %(most)s",
        values,
    )
    return by_rule, [VerdictChange(*row) for row in rows]


def _compare(connection: Connection[Any], table: FoldTable, agencies: list[str], most: int) -> TableDifference:
    types = dict(connection.execute(COLUMNS, (SHADOW, table.name)).fetchall())
    compared = [name for name in types if name not in table.apart]
    keys = " and ".join(f"live.{name} = rebuilt.{name}" for name in table.key)
    first = table.key[0]
    live, rebuilt = (_rows(schema, table, list(types)) for schema in ("ledger", SHADOW))
    differing = (
        f"from ({live}) live full join ({rebuilt}) rebuilt on {keys}"
        f" where ({_listed('live', compared)}) is distinct from ({_listed('rebuilt', compared)})"
    )
    values = {"agencies": agencies, "most": most}
    counts = connection.execute(
        f"select (select count(*) from ({live}) live), (select count(*) from ({rebuilt}) rebuilt),"
        f" count(*) filter (where live.{first} is null), count(*) filter (where rebuilt.{first} is null), count(*)"
        f" {differing}",
        values,
    ).fetchone()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    in_live, in_rebuilt, missing, added, differ = map(int, counts)
    rows = (
        connection.execute(
            f"select to_jsonb(live), to_jsonb(rebuilt) {differing} order by"
            f" {', '.join(f'coalesce(live.{name}, rebuilt.{name})' for name in table.key)} limit %(most)s",
            values,
        ).fetchall()
        if differ and most
        else []
    )
    return TableDifference(
        table.name,
        in_live,
        in_rebuilt,
        missing,
        added,
        differ - missing - added,
        tuple(_difference(table, compared, types, *row) for row in rows),
    )


def _rows(schema: str, table: FoldTable, columns: Sequence[str]) -> str:
    where = f"(%(agencies)s::text[] = '{{}}' or {table.agency} = any(%(agencies)s))"
    if table.name == "notice" and schema == "ledger":
        where += f" and {STEPPED}"
    same = dict(table.same)
    wanted = ", ".join(
        f"{same[name].format(schema=schema)} as {name}" if name in same else f"row.{name}" for name in columns
    )
    return f'select {wanted} from {schema}."{table.name}" row where {where}'


def _listed(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _difference(
    table: FoldTable,
    compared: Sequence[str],
    types: dict[str, str],
    live: dict[str, Any] | None,
    rebuilt: dict[str, Any] | None,
) -> RowDifference:
    known = live or rebuilt or {}
    differing = [
        name for name in compared if name not in table.key and (live or {}).get(name) != (rebuilt or {}).get(name)
    ]
    return RowDifference(
        table.name,
        {name: str(known.get(name)) for name in table.key},
        None if live is None else {name: _shown(name, types[name], live.get(name)) for name in differing},
        None if rebuilt is None else {name: _shown(name, types[name], rebuilt.get(name)) for name in differing},
    )


def _shown(name: str, kind: str, value: Any) -> str:
    """A value for people: in full where it can hold nobody's words, else as a fingerprint."""
    if value is None:
        return ABSENT
    if name not in SPOKEN and kind in ("text", "jsonb", "bytea", "tsvector", "ARRAY"):
        text = repr(value).encode()
        return f"#{sha256(text).hexdigest()[:8]} ({len(text)})"
    return str(value)
