"""What a central portal process needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portalbus.connectors.web.proxies import USUAL_PROXIES


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process. `database_url` holds a password: it is left out of the repr, and must not be logged."""

    database_url: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    pool_size: int = 8
    look_every_s: float = 2.0
    """How often the ledger is looked at when PostgreSQL's notifications do not arrive."""
    feedback_lookups_per_minute: int = 30
    """How many public codes one client address may look up."""
    live_readers: int = 2_000
    """How many pages may be kept live at once; later ones poll."""
    stream_readers: int = 2_000
    """How many programs may follow the stream of events at once."""
    streams_per_address: int = 100
    """How many of them may come from one client address."""
    stream_history: int = 100_000
    """How many positions a reader of the stream may lag behind when it comes back."""
    heartbeat_s: float = 15.0
    """After how many quiet seconds the stream says that it is still there."""
    registry_url: str = ""
    """The schema registry: the console needs it to judge parked records again and to reconcile."""
    bootstrap: str = ""
    """Kafka: with it, a reconciliation can look a record up in its lane."""
    outbox: str = ""
    """A folder on a local disk: with it, and with Kafka and the registry, the console can say what a person decided."""
    outbox_portal: str = "desk"
    """The portal of the centre under which it is said: each outbox needs a name of its own."""
    logins_per_minute: int = 10
    """How many tries to log in one client address has, and how many there are for one name."""
    public_url: str = ""
    """The address under which the world knows this portal; without it, the one that a request names."""
    trusted_proxies: str = USUAL_PROXIES
    """Addresses and networks whose X-Forwarded-For and -Proto are believed, separated by commas."""
    metrics_port: int | None = None
    """Where metrics are served; nowhere without it."""
    clock: Callable[[], datetime] = utc_now
