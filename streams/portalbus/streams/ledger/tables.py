"""Ways to write rows: many of them in bulk, a few in one statement that shares its round trip with others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb


class Table:
    """A table that is filled in bulk: its columns and their types, in the order of the rows."""

    def __init__(self, name: str, columns: str) -> None:
        pairs = [column.split() for column in columns.split(",")]
        self._names = [column for column, _ in pairs]
        self._types = [kind for _, kind in pairs]
        names = ", ".join(self._names)
        self._copy = f"copy {name} ({names}) from stdin (format binary)"
        self._insert = f"insert into {name} ({names}) select {names} from json_to_recordset(%s) as row ({columns})"

    def copy(self, connection: Connection[Any], rows: Iterable[tuple[Any, ...]]) -> None:
        """Writes many rows: three round trips, and the least work for each row."""
        with connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            copy.set_types(self._types)
            for row in rows:
                copy.write_row(row)

    def insert(self, connection: Connection[Any], rows: Iterable[tuple[Any, ...]]) -> None:
        """Writes a few rows, in one statement that can share its round trip with others."""
        if objects := [dict(zip(self._names, row, strict=True)) for row in rows]:
            connection.execute(self._insert, (json.dumps(objects, ensure_ascii=False, default=_as_json),))


def _as_json(value: object) -> object:
    """What PostgreSQL reads back as the same value: ISO times, \\x before the hex of bytes."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, Jsonb):
        return value.obj
    return value.isoformat() if isinstance(value, datetime) else str(value)


def many(connection: Connection[Any], sql: str, rows: list[tuple[Any, ...]]) -> None:
    """Runs a statement once for each row; not at all for none."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)
