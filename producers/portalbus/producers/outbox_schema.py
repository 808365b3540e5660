"""The tables of an outbox file, and how an older file is brought up to date."""

from __future__ import annotations

import sqlite3

from portalbus.schemas.errors import OutboxUnavailable

MIGRATIONS = (
    """
    -- One row: whose outbox this is and how far it got. Every commit changes it, so a lost commit shows.
    create table source (
        one integer primary key check (one = 1),
        agency text not null,
        portal text not null,
        epoch integer not null,
        last_sequence integer not null,
        delivered_sequence integer not null,   -- everything up to here was acknowledged or is in `undeliverable`
        undelivered_bytes integer not null,
        kept_bytes integer not null,
        checksum integer not null
    ) strict;

    create table event (
        sequence integer primary key,
        event_id blob not null unique,         -- the 16 bytes of the UUID
        event_type text not null,
        schema_version integer not null,       -- of the Avro schema that `body` was written with
        key text not null,
        occurred_at integer not null,          -- milliseconds since 1970 UTC, like every time here
        published_at integer not null,
        traceparent text,
        content_hash blob not null,            -- SHA-256 of the encoded payload
        body blob not null,                    -- Avro: envelope, then payload; the header is added at delivery
        checksum integer not null
    ) strict;

    -- Events that the broker refused for good (dead), and later events of the same key (held behind them).
    create table undeliverable (
        sequence integer primary key,
        state text not null check (state in ('dead', 'held')),
        key text not null,
        reason text not null,
        since integer not null
    ) strict;

    -- Delivered or dead events that are to be sent (again), oldest first.
    create table resend (sequence integer primary key) strict;

    -- What was delivered, by day and type: the digests of the manifest.
    create table bucket (
        day integer not null,                  -- days since 1970 UTC, of published_at
        event_type text not null,
        count integer not null,
        digest blob not null,
        primary key (day, event_type)
    ) strict, without rowid;

    -- One row: who delivers, and what keeps it from doing so.
    create table delivery (
        one integer primary key check (one = 1),
        pid integer,
        trouble text,
        trouble_at integer,
        damaged text
    ) strict;
    insert into delivery (one) values (1);

    create table verdict (
        offset integer primary key,
        event_id blob,
        sequence integer,
        value text not null,                   -- JSON
        judged_at integer not null
    ) strict;
    create index verdict_event on verdict (event_id);

    -- How far the verdict topic was read, and how far the callback was called.
    create table verdict_place (
        one integer primary key check (one = 1),
        next_offset integer not null,
        called_offset integer not null
    ) strict;
    insert into verdict_place values (1, 0, 0);
    """,
    """
    -- From which offset of the verdict topic on notices of the centre are still to be heard; null before the first.
    create table notice_place (
        one integer primary key check (one = 1),
        next_offset integer
    ) strict;
    insert into notice_place values (1, null);

    -- Answers to the centre that are to be sent to the lane, oldest first.
    create table answer (
        number integer primary key autoincrement,
        record text not null,                  -- name of the Avro record
        value text                             -- JSON; null for the manifest, which is made when it is sent
    ) strict;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date, in one transaction; does nothing to a file that is."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("begin immediate")
    version = _version(connection)  # another process may have been faster
    if version > len(MIGRATIONS):
        raise OutboxUnavailable(f"the outbox was written by a newer SDK (layout {version}): install that one")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {number}")
    connection.execute("commit")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("pragma user_version").fetchone()
    return int(version)


def _statements(script: str) -> list[str]:
    # executescript() would commit the transaction that the caller holds.
    plain = "\n".join(line.split("--", 1)[0] for line in script.splitlines())
    return [statement for statement in plain.split(";") if statement.strip()]
