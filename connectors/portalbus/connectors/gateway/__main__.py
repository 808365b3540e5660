"""`python -m portalbus.connectors.gateway`: the gateway as a process."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from portalbus.connectors.gateway.serve import CannotServe, serve
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.web.logs import log_as_json
from portalbus.connectors.web.proxies import PROXIES_VARIABLE, proxies_from_environment, proxies_of
from portalbus.schemas.kafka_settings import kafka_from_env
from portalbus.streams.metrics.measuring import PORT_VARIABLE, port_from_environment, port_of


def settings_from(arguments: Sequence[str] | None = None) -> tuple[Settings, bool]:
    """Settings, and whether plain HTTP is allowed everywhere, from the command line and the environment.

    Kafka properties come from the environment alone (PORTALBUS_KAFKA_…): `ps` does not show it.
    """
    usual = Settings("", "", Path())
    env = os.environ
    parser = argparse.ArgumentParser(prog="python -m portalbus.connectors.gateway", description=__doc__)
    parser.add_argument("--bootstrap", default=env.get("PORTALBUS_BOOTSTRAP"), help="Kafka, host:port")
    parser.add_argument("--registry-url", default=env.get("PORTALBUS_REGISTRY"), help="base of the registry's API")
    parser.add_argument("--state", default=env.get("PORTALBUS_GATEWAY_STATE"), help="a folder on a local disk")
    parser.add_argument("--host", default=usual.host)
    parser.add_argument("--port", type=int, default=usual.port)
    parser.add_argument("--tls-certificate", default="", help="PEM file")
    parser.add_argument("--tls-key", default="", help="PEM file")
    parser.add_argument("--plain-http", action="store_true", help="allow HTTP on other than loopback addresses")
    proxies, meaning = proxies_from_environment(), f"addresses and networks, by commas [{PROXIES_VARIABLE}]"
    parser.add_argument("--trusted-proxies", type=proxies_of, default=proxies, help=meaning)
    parser.add_argument("--metrics-port", type=port_of, default=port_from_environment(), help=f"[{PORT_VARIABLE}]")
    for name, text in TUNABLE.items():
        flag, value = f"--{name.replace('_', '-')}", getattr(usual, name)
        parser.add_argument(flag, type=type(value), default=value, help=text)
    given = parser.parse_args(arguments)
    for name, flag in (("bootstrap", "BOOTSTRAP"), ("registry_url", "REGISTRY"), ("state", "GATEWAY_STATE")):
        if not getattr(given, name):
            parser.error(f"--{name.replace('_', '-')} or PORTALBUS_{flag} is needed")
    plain = given.__dict__.pop("plain_http")
    return Settings(**{**given.__dict__, "state": Path(given.state), "kafka": kafka_from_env()}), plain


TUNABLE = {
    "body_bytes": "largest body",
    "batch_events": "most events in a batch",
    "body_s": "seconds for a body to arrive",
    "head_s": "seconds for the head of a request to arrive",
    "acknowledge_s": "seconds to wait for the broker",
    "events_per_second": "what a key may publish",
    "burst_s": "seconds' worth that may come at once",
    "heartbeat_s": "seconds between two manifests",
    "canary_s": "seconds between two canaries, 0 for none",
    "idle_s": "seconds until a quiet source says good-bye",
    "most_sources": "sources open at once",
    "readers": "programs that wait for verdicts",
    "readers_of_key": "of them with one key",
    "longest_wait_s": "seconds that a question for verdicts may wait for the first one",
    "failures_per_minute": "wrong keys from one address",
}
"""Settings that are figures, with what they are."""


def main() -> None:
    """Runs the gateway."""
    log_as_json()
    settings, plain = settings_from()
    try:
        serve(settings, plain_http=plain)
    except CannotServe as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
