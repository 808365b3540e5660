"""The gateway's own SQLite files: its API keys, and what it remembers of its requests and sources."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

BUSY_S = 10.0

KEYS = (
    """
    -- Keys are 256 random bits; only their SHA-256 is kept.
    create table api_key (
        id text primary key,
        secret_hash blob not null,
        agency text not null,
        portal text,                          -- null: every portal of the agency
        note text not null,
        events_per_second real,               -- null: what the gateway allows
        created_at integer not null,          -- seconds since 1970 UTC, like every time here
        revoked_at integer
    ) strict;
    """,
)

MEMORY = (
    """
    -- What was answered to an Idempotency-Key, to be answered again.
    create table answer (
        agency text not null,
        idempotency_key text not null,
        digest blob not null,                 -- SHA-256 of the request
        status integer not null,
        body blob not null,                   -- compressed
        answered_at integer not null,
        primary key (agency, idempotency_key)
    ) strict;
    create index answer_age on answer (answered_at);

    -- Sources that have not said good-bye: they speak again when the gateway starts.
    create table open_source (
        agency text not null,
        portal text not null,
        primary key (agency, portal)
    ) strict, without rowid;
    """,
)


def open_database(path: Path, layout: Sequence[str]) -> sqlite3.Connection:
    """A connection to a file, made if need be, readable for its owner alone. For one thread at a time.

    A power cut may undo the last commits, never a part of one; a killed process undoes none.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    _migrate(connection, layout)
    return connection


def _migrate(connection: sqlite3.Connection, layout: Sequence[str]) -> None:
    if _version(connection) == len(layout):
        return
    connection.execute("begin immediate")
    version = _version(connection)  # another process may have been faster
    for number, script in enumerate(layout[version:], version + 1):
        plain = "\n".join(line.split("--", 1)[0] for line in script.splitlines())
        for statement in filter(str.strip, plain.split(";")):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {number}")
    connection.execute("commit")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("pragma user_version").fetchone()
    return int(version)
