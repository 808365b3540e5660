"""Who sends which record and who takes it over, as a running bus's ledger has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg

PRODUCERS: LiteralString = """
select event_type, agency || '/' || coalesce(portal, '?'), count(*), count(*) filter (where status = 'ACCEPTED'),
       max(received_at)
from ledger.event where event_type is not null group by 1, 2 order by 1, 2"""
MANIFESTS: LiteralString = """
select 'SourceManifest', agency || '/' || portal, null::bigint, null::bigint, last_heard_at
from ledger.source where manifest is not null order by 2"""
WEBHOOKS: LiteralString = "select url, types, delivered, last_delivered_at from push.subscription order by created_at"


@dataclass(frozen=True, slots=True)
class Producer:
    """A source, how many records of a type it has sent and how many were accepted; None where they are not counted."""

    source: str
    records: int | None
    accepted: int | None
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Consumer:
    """A receiver that asked for a type: the host of its address, and what it has received so far of all types."""

    host: str
    delivered: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Producers and consumers by record, as of one moment (UTC)."""

    at: datetime
    producers: Mapping[str, tuple[Producer, ...]]
    consumers: Mapping[str, tuple[Consumer, ...]]


def measure(database_url: str, told: tuple[str, ...]) -> Measured:
    """Asks the ledger; `told` are the records that webhooks can carry. Raises psycopg.OperationalError.

    Readers of Kafka topics leave no trace in the ledger, so they are not among the consumers.
    """
    producers: dict[str, list[Producer]] = {}
    consumers: dict[str, list[Consumer]] = {}
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        connection.read_only = True
        for query in (PRODUCERS, MANIFESTS):
            for record, *values in connection.execute(query):
                producers.setdefault(record, []).append(Producer(*values))
        known = connection.execute("select to_regclass('push.subscription')").fetchone()
        for url, types, delivered, last_at in connection.execute(WEBHOOKS) if known and known[0] else ():
            for record in types or told:
                consumers.setdefault(record, []).append(Consumer(urlsplit(url).hostname or "?", delivered, last_at))
    return Measured(
        datetime.now(UTC),
        {record: tuple(found) for record, found in producers.items()},
        {record: tuple(found) for record, found in consumers.items()},
    )
