"""Settings of the worker and the relay: flags, or the environment variable beside each."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from portalbus.schemas.kafka_settings import aiokafka_settings
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.parking_limit import ParkingLimit
from portalbus.streams.metrics.measuring import PORT_VARIABLE, port_of

PARKED_HOLD = Bounds().parked_hold
REVIEW = Bounds().review
UNTIL_PUBLISHED = timedelta(days=36_500)
RECONCILE_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Where everything is. `cache` remembers the schema ids of the registry.

    Silence is looked for every `watch_seconds`; a source is called silent after `silent_after` seconds at the earliest.
    The events of a source are held behind a gap in its order for `gap_hold` seconds of lane time. The last days are
    reconciled every `reconcile_every`. The centre may return an answer for as long as its `review` lasts, and it is not
    shown before, unless it is published. Metrics are served at `metrics_port`, where there is one. `relay_after` is the
    position up to which a relay that has lost its own is told that everything was sent.
    """

    bootstrap: str
    registry_url: str
    database_url: str
    cache: Path | None
    group: str
    session_timeout: float
    watch_seconds: float = 10.0
    silent_after: float = 300.0
    gap_hold: float = 25.0
    parking_limit: ParkingLimit = field(default_factory=ParkingLimit)
    parked_hold: timedelta = PARKED_HOLD
    reconcile_every: timedelta = RECONCILE_EVERY
    review: timedelta = REVIEW
    metrics_port: int | None = None
    relay_after: int | None = None

    @classmethod
    def parse(cls, program: str, argv: list[str] | None = None) -> StreamSettings:
        """Reads flags and environment; exits with a usage message when something is missing."""
        parser = argparse.ArgumentParser(program)
        _add(parser, "--bootstrap", "PORTALBUS_BOOTSTRAP", "Kafka, host:port")
        _add(parser, "--registry-url", "PORTALBUS_REGISTRY", "schema registry, base of its Confluent-compatible API")
        _add(parser, "--database-url", "PORTALBUS_DATABASE", "the ledger, postgresql://…")
        _add(parser, "--cache", "PORTALBUS_SCHEMA_CACHE", "file that remembers schema ids", required=False)
        _add(parser, "--group", "PORTALBUS_GROUP", "consumer group", default="portalbus-streams")
        _add(
            parser,
            "--session-timeout",
            "PORTALBUS_SESSION_TIMEOUT",
            "seconds until a dead worker's lanes move",
            default="10",
        )
        _add(parser, "--watch-seconds", "PORTALBUS_WATCH_SECONDS", "seconds between looks for silence", default="10")
        _add(
            parser,
            "--silent-after",
            "PORTALBUS_SILENT_AFTER",
            "seconds until a source whose heartbeat stops is called silent, at the earliest",
            default="300",
        )
        _add(
            parser,
            "--reconcile-every",
            "PORTALBUS_RECONCILE_EVERY",
            "seconds between two comparisons of the store with what the sources state; 0 for none",
            default=str(RECONCILE_EVERY.total_seconds()),
        )
        _add(
            parser,
            "--relay-after",
            "PORTALBUS_RELAY_AFTER",
            "ledger position up to which everything was sent, for a relay whose position topic was lost",
            default="",
        )
        _add(parser, "--metrics-port", PORT_VARIABLE, "port of the metrics; none without it", default="")
        _add(
            parser,
            "--review-hours",
            "PORTALBUS_REVIEW_HOURS",
            "hours in which the centre may return an answer, which is shown after them; 0 for none, or"
            " 'until-published': shown only when it is published",
            default=f"{REVIEW.total_seconds() / 3600:g}",
        )
        _add_holds(parser)
        found = parser.parse_args(argv)
        try:
            aiokafka_settings(found.bootstrap)
        except ValueError as error:
            parser.error(str(error))
        return cls(
            bootstrap=found.bootstrap,
            registry_url=found.registry_url,
            database_url=found.database_url,
            cache=Path(found.cache) if found.cache else None,
            group=found.group,
            session_timeout=float(found.session_timeout),
            watch_seconds=float(found.watch_seconds),
            silent_after=float(found.silent_after),
            gap_hold=float(found.gap_hold),
            parking_limit=ParkingLimit(share=float(found.parking_share), parked=int(found.parking_least)),
            parked_hold=timedelta(seconds=float(found.parked_hold)),
            reconcile_every=timedelta(seconds=float(found.reconcile_every)),
            review=_review(parser, found.review_hours),
            metrics_port=port_of(found.metrics_port),
            relay_after=int(found.relay_after) if found.relay_after else None,
        )


def _review(parser: argparse.ArgumentParser, said: str) -> timedelta:
    if said == "until-published":
        return UNTIL_PUBLISHED
    try:
        review = timedelta(hours=float(said))
    except (ValueError, OverflowError):
        review = timedelta(-1)
    if not timedelta(0) <= review <= UNTIL_PUBLISHED:
        parser.error(f"--review-hours {said}: a number of hours, 0 or more, or until-published")
    return review


def _add_holds(parser: argparse.ArgumentParser) -> None:
    usual = ParkingLimit()
    _add(
        parser,
        "--parking-share",
        "PORTALBUS_PARKING_SHARE",
        "share of the newest records, on many lanes, that may be parked; a worker stops above it, never for 1",
        default=str(usual.share),
    )
    _add(
        parser,
        "--parking-least",
        "PORTALBUS_PARKING_LEAST",
        "parked records below which a worker never stops",
        default=str(usual.parked),
    )
    _add(
        parser,
        "--parked-hold",
        "PORTALBUS_PARKED_HOLD",
        "seconds that later events of a key wait behind a parked one, at most",
        default=str(PARKED_HOLD.total_seconds()),
    )
    _add(
        parser,
        "--gap-hold",
        "PORTALBUS_GAP_HOLD",
        "seconds of lane time that a source's events are held behind a missing one; on a quiet lane, up to 5 more",
        default="25",
    )


def _add(
    parser: argparse.ArgumentParser,
    flag: str,
    variable: str,
    text: str,
    *,
    required: bool = True,
    default: str | None = None,
) -> None:
    value = os.environ.get(variable, default)
    parser.add_argument(flag, default=value, required=required and value is None, help=f"{text} [{variable}]")
