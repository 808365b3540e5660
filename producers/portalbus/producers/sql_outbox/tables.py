"""The two tables, for the portal's own MetaData: its migrations (Alembic) see them like any other."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up an INTEGER alone
_BODY = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")  # bytes: no charset can touch them
# MySQL's usual collations find `ct-1` and `CT-1` the same.
_KEY = String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


INTENTS, RELAYS = "portalbus_outbox", "portalbus_relay"


def intents_table(metadata: MetaData) -> Table:
    """One row an intent; times in milliseconds since 1970 UTC, `body` a CloudEvent."""
    if (known := _known(metadata, INTENTS)) is not None:
        return known
    return Table(
        INTENTS,
        metadata,
        Column("id", _NUMBER, primary_key=True, autoincrement=True),
        Column("source", String(128), nullable=False),
        Column("event_id", String(36), nullable=False, unique=True),
        Column("event_type", String(64), nullable=False),
        Column("event_key", _KEY, nullable=False),
        Column("body", _BODY, nullable=False),
        Column("state", String(8), nullable=False),  # waiting, held, parked, stored, done
        Column("created_at", BigInteger, nullable=False),
        Column("changed_at", BigInteger, nullable=False),
        Column("epoch", BigInteger),
        Column("sequence", BigInteger),
        Column("reason", Text),
        Column("verdict", String(16)),
        Column("verdict_rule", String(64)),
        Index(f"{INTENTS}_state", "source", "state", "id"),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        sqlite_autoincrement=True,
    )


def relays_table(metadata: MetaData) -> Table:
    """One row a source: its lock is the turn of a relay, and it says which outbox the intents go to."""
    if (known := _known(metadata, RELAYS)) is not None:
        return known
    return Table(
        RELAYS,
        metadata,
        Column("source", String(128), primary_key=True),
        Column("outbox", String(64), nullable=False),
        Column("place", String(1024), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("turns", BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def _known(metadata: MetaData, name: str) -> Table | None:
    """Several portals may share one database, and one MetaData."""
    return metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)
