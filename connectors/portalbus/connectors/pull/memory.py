"""The memory of one source: a SQLite file that holds what was decided, and what of it the outbox does not have yet.

Decisions and the events they ask for are one transaction; the events then go to the outbox under ids that follow
from their content. A process killed anywhere goes on with the events that are left, so none is lost or doubled.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from portalbus.connectors.pull.comparing import Decided, Outcome
from portalbus.connectors.pull.remembered import Alert, Item, Memory, State
from portalbus.schemas.errors import PortalbusError

VERSION = 1
BUSY_SECONDS = 30.0
MOMENTS = ("first_seen", "missing_since", "asked_at")
VALUES = ("refusals", "data")
COLUMNS = tuple(field.name for field in fields(Item))

SCHEMA = f"""
create table state (name text primary key, value text not null) without rowid;
create table item ({", ".join(f"{name} text" if name != "id" else "id text primary key" for name in COLUMNS)});
create table pending (
    place integer primary key autoincrement,
    event_id text not null unique,
    what text not null,
    item_id text not null,
    event_type text not null,
    payload text not null,
    occurred_at text not null
);
pragma user_version = {VERSION};
"""


class MemoryUnusable(PortalbusError):
    """A memory file cannot be read or written; nothing was published for its source."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One decided event that the outbox has not confirmed yet."""

    place: int
    event_id: str
    what: str
    item_id: str
    event_type: str
    payload: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source is doing: when it was last read, when it is due, and what went wrong since it last went well."""

    read_at: datetime | None = None
    due_at: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    failure: str = ""
    settings: str = ""
    """A digest of the settings that the items were read under."""
    revision: int = 0
    """Counts the commits, so that two processes cannot decide on the same reading."""


class MemoryFile:
    """One memory file; each method opens and closes it, so any thread may use it. Raises MemoryUnusable."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> tuple[Memory, Standing]:
        """What is remembered; empty for a file that is not there, which is not made."""
        if not self.path.exists():
            return Memory(), Standing()
        with self._open() as connection:
            return self._load(connection)

    def decide(self, outcome: Outcome, before: Standing, after: Standing) -> None:
        """Remembers a comparison and the events it asks for, all or nothing."""
        with self._open() as connection, _transaction(connection):
            now = self._standing(connection)
            if now.revision != before.revision:
                raise MemoryUnusable(f"{self.path}: another process reads this source too; end one of the two")
            connection.executemany("delete from item where id = ?", [(name,) for name in outcome.dropped])
            marks = ", ".join("?" * len(COLUMNS))
            connection.executemany(
                f"insert or replace into item values ({marks})", map(_row_of, outcome.changed.values())
            )
            connection.executemany(
                "insert into pending (event_id, what, item_id, event_type, payload, occurred_at)"
                " values (?, ?, ?, ?, ?, ?)",
                map(_pending_row, outcome.events),
            )
            memory = outcome.memory
            self._put(connection, "cursor", memory.cursor)
            self._put(connection, "listed", memory.listed)
            if memory.alert is None or self._value(connection, "accepted") != memory.alert.rule:
                self._put(connection, "accepted", memory.accepted)  # else an operator accepted it in the meantime
            self._put(connection, "alert", _alert_values(memory.alert))
            self._put_standing(connection, after, now.revision + 1)

    def note(self, standing: Standing) -> None:
        """Remembers how the source is doing, and nothing else."""
        with self._open() as connection, _transaction(connection):
            self._put_standing(connection, standing, self._standing(connection).revision)

    def accept(self) -> Alert | None:
        """Lets the present alert pass; returns it, None when there is none."""
        memory, _ = self.load()
        if memory.alert is not None:
            with self._open() as connection, _transaction(connection):
                self._put(connection, "accepted", memory.alert.rule)
        return memory.alert

    def pending(self, limit: int = 1_000) -> list[Pending]:
        """The oldest events that the outbox has not confirmed yet."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute("select * from pending order by place limit ?", (limit,)).fetchall()
        return [
            Pending(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]), datetime.fromisoformat(row[6]))
            for row in rows
        ]

    def confirm(self, places: list[int]) -> None:
        """The outbox has these events."""
        with self._open() as connection, _transaction(connection):
            connection.executemany("delete from pending where place = ?", [(place,) for place in places])

    def take_back(self, pending: Pending, refusals: tuple[str, ...]) -> None:
        """An event was refused after all: its item stands as if it had not been decided, and is decided anew."""
        with self._open() as connection, _transaction(connection):
            connection.execute("delete from pending where place = ?", (pending.place,))
            connection.execute("delete from state where name = 'cursor'")  # so that it is read again
            connection.execute(
                "update item set version = version - 1, content = '', mark = '', refusals = ?,"
                " state = case when version = '1' then ? else ? end where id = ?",
                (json.dumps(refusals), State.NEW, State.STANDING, pending.item_id),
            )

    def _load(self, connection: sqlite3.Connection) -> tuple[Memory, Standing]:
        values = {name: json.loads(value) for name, value in connection.execute("select name, value from state")}
        items = [_item_of(row) for row in connection.execute(f"select {', '.join(COLUMNS)} from item")]
        alert = values.get("alert")
        memory = Memory(
            {item.id: item for item in items},
            values.get("cursor", {}),
            values.get("listed", 0),
            Alert(alert[0], alert[1], datetime.fromisoformat(alert[2])) if alert else None,
            values.get("accepted", ""),
        )
        return memory, self._standing(connection)

    def _standing(self, connection: sqlite3.Connection) -> Standing:
        noted = self._value(connection, "standing") or {}
        for name in ("read_at", "due_at", "failed_at"):
            noted[name] = datetime.fromisoformat(noted[name]) if noted.get(name) else None
        return Standing(**noted)

    def _value(self, connection: sqlite3.Connection, name: str) -> Any:
        row = connection.execute("select value from state where name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def _put(self, connection: sqlite3.Connection, name: str, value: Any) -> None:
        connection.execute(
            "insert or replace into state values (?, ?)", (name, json.dumps(value, ensure_ascii=False, default=str))
        )

    def _put_standing(self, connection: sqlite3.Connection, standing: Standing, revision: int) -> None:
        values = {field.name: getattr(standing, field.name) for field in fields(standing)}
        values["revision"] = revision
        for name in ("read_at", "due_at", "failed_at"):
            values[name] = values[name].isoformat() if values[name] else None
        self._put(connection, "standing", values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)) as connection:
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = full")
                _migrate(connection, self.path)
                yield connection
        except (sqlite3.DatabaseError, OSError) as error:
            raise MemoryUnusable(
                f"{self.path} cannot be used ({error}). Put a copy back; without one, delete it: everything that"
                " still stands at the source is then published again under the ids it had"
            ) from error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("pragma user_version").fetchone()
    if version > VERSION:
        raise MemoryUnusable(f"{path} was written by a newer release: use that one")
    if version == 0:
        with _transaction(connection):
            (version,) = connection.execute("pragma user_version").fetchone()
            if version == 0:
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _alert_values(alert: Alert | None) -> list[str] | None:
    return [alert.rule, alert.text, alert.since.isoformat()] if alert else None


def _row_of(item: Item) -> tuple[Any, ...]:
    return tuple(_column(name, getattr(item, name)) for name in COLUMNS)


def _column(name: str, value: Any) -> Any:
    if name in MOMENTS:
        return value.isoformat() if value is not None else None
    return json.dumps(value, ensure_ascii=False, default=str) if name in VALUES else str(value)


def _item_of(row: tuple[Any, ...]) -> Item:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    for name in MOMENTS:
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    for name in ("life", "version", "missing"):
        values[name] = int(values[name])
    return Item(
        **{
            **values,
            "state": State(values["state"]),
            "data": json.loads(values["data"]),
            "refusals": tuple(json.loads(values["refusals"])),
        }
    )


def _pending_row(decided: Decided) -> tuple[Any, ...]:
    return (
        decided.event_id,
        decided.what.value,
        decided.item_id,
        decided.payload.event_type,
        decided.payload.model_dump_json(),
        decided.occurred_at.isoformat(),
    )
