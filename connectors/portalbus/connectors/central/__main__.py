"""`python -m portalbus.connectors.central`: the central portal as a process."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from portalbus.connectors.central.serve import serve
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.web.logs import log_as_json
from portalbus.connectors.web.proxies import PROXIES_VARIABLE, proxies_from_environment, proxies_of
from portalbus.schemas.spelling import PORTAL_ID
from portalbus.streams.metrics.measuring import PORT_VARIABLE, port_from_environment, port_of


def settings_from(arguments: Sequence[str] | None = None) -> Settings:
    """Settings from the command line; the database also from PORTALBUS_DATABASE, which `ps` does not show."""
    defaults = Settings("")
    parser = argparse.ArgumentParser(prog="python -m portalbus.connectors.central", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.get("PORTALBUS_DATABASE"), help="PostgreSQL URI")
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port)
    parser.add_argument("--pool-size", type=int, default=defaults.pool_size, help="connections to the ledger")
    parser.add_argument("--lookups-per-minute", type=int, default=defaults.feedback_lookups_per_minute)
    parser.add_argument("--stream-readers", type=int, default=defaults.stream_readers, help="of the event stream")
    parser.add_argument("--streams-per-address", type=int, default=defaults.streams_per_address)
    parser.add_argument("--stream-history", type=int, default=defaults.stream_history, help="positions of the ledger")
    parser.add_argument("--heartbeat", type=float, default=defaults.heartbeat_s, help="seconds")
    parser.add_argument("--registry-url", default=os.environ.get("PORTALBUS_REGISTRY", ""), help="for the console")
    parser.add_argument("--bootstrap", default=os.environ.get("PORTALBUS_BOOTSTRAP", ""), help="for the console")
    parser.add_argument("--outbox", default=os.environ.get("PORTALBUS_OUTBOX", ""), help="folder, for the console")
    parser.add_argument("--outbox-portal", default=defaults.outbox_portal, help="its own portal name, for each outbox")
    parser.add_argument("--logins-per-minute", type=int, default=defaults.logins_per_minute)
    parser.add_argument("--public-url", default=os.environ.get("PORTALBUS_PUBLIC_URL", ""), help="https://…")
    proxies, meaning = proxies_from_environment(), f"addresses and networks, by commas [{PROXIES_VARIABLE}]"
    parser.add_argument("--trusted-proxies", type=proxies_of, default=proxies, help=meaning)
    parser.add_argument("--metrics-port", type=port_of, default=port_from_environment(), help=f"[{PORT_VARIABLE}]")
    given = parser.parse_args(arguments)
    if not given.database_url:
        parser.error("name the ledger: --database-url or PORTALBUS_DATABASE")
    if not PORTAL_ID.fullmatch(given.outbox_portal):
        parser.error(f"--outbox-portal {given.outbox_portal!r} must be 1 to 64 of a-z, 0-9, '.', '_' and '-'")
    return Settings(
        database_url=given.database_url,
        host=given.host,
        port=given.port,
        pool_size=given.pool_size,
        feedback_lookups_per_minute=given.lookups_per_minute,
        stream_readers=given.stream_readers,
        streams_per_address=given.streams_per_address,
        stream_history=given.stream_history,
        heartbeat_s=given.heartbeat,
        registry_url=given.registry_url,
        bootstrap=given.bootstrap,
        outbox=given.outbox,
        outbox_portal=given.outbox_portal,
        logins_per_minute=given.logins_per_minute,
        public_url=given.public_url,
        trusted_proxies=given.trusted_proxies,
        metrics_port=given.metrics_port,
    )


if __name__ == "__main__":
    log_as_json()
    serve(settings_from())
