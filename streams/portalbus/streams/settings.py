"""Settings of the worker and the relay: flags, or the environment variable beside each."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Where everything is. `cache` remembers the schema ids of the registry."""

    bootstrap: str
    registry_url: str
    database_url: str
    cache: Path | None
    group: str
    session_timeout: float

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
        found = parser.parse_args(argv)
        return cls(
            bootstrap=found.bootstrap,
            registry_url=found.registry_url,
            database_url=found.database_url,
            cache=Path(found.cache) if found.cache else None,
            group=found.group,
            session_timeout=float(found.session_timeout),
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
