"""What can be set about a worker's edge, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Settings of one worker's edge; times are in seconds, sizes in bytes.

    ``session_timeout`` is how long a worker that died without a word keeps its lanes: 10 s suits one machine,
    30 s a network with hiccups. A worker that is stopped politely hands its lanes over at once.
    """

    bootstrap_servers: str
    """Comma-separated ``host:port`` list; TLS and SASL come from the environment (`schemas.kafka_settings`)."""
    group: str = "portalbus-streams"
    """Consumer group; workers of one group share the lanes. Its committed offsets are only for lag displays."""

    batch_max_records: int = 4_000
    batch_max_bytes: int = 4 * MIB
    """A batch stops growing at either limit; a single record may be larger."""
    queue_max_records: int = 8_000
    queue_max_bytes: int = 8 * MIB
    """What may wait in front of the handler before fetching stops: memory is events x size, so both count."""
    fetch_max_bytes: int = 4 * MIB
    fetch_max_bytes_per_lane: int = MIB + 64 * 1024
    """One lane's share of a fetch: the largest event and its overhead, so that no lane crowds out the others."""
    fetch_max_wait: float = 0.5
    """How long the broker holds an empty fetch; a record that arrives ends the wait at once."""
    fetch_pause: float = 0.025
    """How long to wait after a fetch of a few records before the next: they come in batches, and cost less."""

    session_timeout: float = 10.0
    heartbeat_interval: float = 1.0
    rebalance_timeout: float = 60.0
    """How long the group waits for a worker to finish its batch in hand before lanes move without it."""
    request_timeout: float = 90.0
    finish_batch_within: float = 20.0
    """How long a worker that loses its lanes, or stops, waits for the batch in hand."""
    group_commit_interval: float = 2.8

    lanes_refresh_interval: float = 15.0
    """How often the directory of lanes is asked for new ones."""
    ends_refresh_interval: float = 10.0
    """How often the broker is asked where the lanes end, apart from fetching: feeds lag and the watchdog."""

    def brokers(self) -> list[str]:
        """Return the bootstrap servers in the form Faust wants."""
        return [f"kafka://{server.strip()}" for server in self.bootstrap_servers.split(",") if server.strip()]
