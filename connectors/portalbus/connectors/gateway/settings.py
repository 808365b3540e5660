"""What a gateway process needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portalbus.connectors.web.proxies import USUAL_PROXIES

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process. `kafka` holds librdkafka properties and may hold secrets: it is never shown.

    `state` is a folder on a local disk, for this gateway alone: keys, remembered answers and an outbox a source.
    """

    bootstrap: str
    registry_url: str
    state: Path
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: str = "127.0.0.1"
    port: int = 8091
    tls_certificate: str = ""
    tls_key: str = field(default="", repr=False)
    trusted_proxies: str = USUAL_PROXIES
    """Addresses and networks whose X-Forwarded-For and -Proto are believed, separated by commas."""
    metrics_port: int | None = None
    """Where metrics are served; nowhere without it."""

    body_bytes: int = MIB
    """The largest body of a request."""
    batch_events: int = 500
    """The most events in a batch."""
    pending_bytes: int = 32 * MIB
    """The most bytes of bodies that are being worked on at once; beyond, requests are put off."""
    pending_requests: int = 2_000
    """The most requests that wait for the bus at once."""
    body_s: float = 20.0
    """How long a body may take to arrive."""
    head_s: float = 10.0
    """How long the head of a request may take to arrive."""
    acknowledge_s: float = 10.0
    """How long a request waits for the broker's acknowledgement."""
    events_per_second: float = 100.0
    """What one key may publish, unless it was made with a rate of its own; in bursts of `burst_s` seconds."""
    burst_s: float = 10.0
    failures_per_minute: int = 60
    """How often one client address may come with a wrong key."""

    heartbeat_s: float = 60.0
    """The time between two manifests of an open source."""
    canary_s: float = 300.0
    """The time between two canaries of an open source; 0 for none."""
    idle_s: float = 900.0
    """A source that neither published nor read its verdicts for so long says good-bye and is closed."""
    most_sources: int = 300
    """The most sources that are open at once."""
    most_portals: int = 200
    """The most portals that one agency may have here."""
    remember_days: int = 7
    """How long the answer to an Idempotency-Key is kept."""

    readers: int = 2_000
    """The most programs that wait for verdicts at once."""
    readers_of_key: int = 200
    """How many of them may use one key."""
    longest_wait_s: float = 60.0
    """How long a program may let an empty question for verdicts wait."""
    reader_heartbeat_s: float = 15.0
    """After how many quiet seconds a stream says that it is still there."""

    @property
    def keys(self) -> Path:
        """The file with the API keys."""
        return self.state / "keys.sqlite"

    @property
    def memory(self) -> Path:
        """The file with remembered answers and open sources."""
        return self.state / "memory.sqlite"

    @property
    def outboxes(self) -> Path:
        """The folder of the outboxes, one folder an agency."""
        return self.state / "outbox"
