"""`python -m portalbus.connectors.push`: the webhook process on its own, as `portalbus webhooks run` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from portalbus.connectors.push.process import WebhookSettings, run
from portalbus.connectors.push.retrying import Retrying
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics.measuring import PORT_VARIABLE, port_from_environment, port_of


def settings_from(arguments: Sequence[str] | None = None) -> WebhookSettings:
    """Settings from the command line, addresses also from the environment; exits with a usage message."""
    usual, pauses = WebhookSettings("", "", ""), Retrying()
    parser = argparse.ArgumentParser(prog="python -m portalbus.connectors.push", description=__doc__)
    for flag, variable in (("bootstrap", "BOOTSTRAP"), ("registry-url", "REGISTRY"), ("database-url", "DATABASE")):
        found = os.environ.get(f"PORTALBUS_{variable}")
        parser.add_argument(f"--{flag}", default=found, required=found is None, help=f"[PORTALBUS_{variable}]")
    parser.add_argument("--parallel", type=int, default=usual.room, help="deliveries to one receiver at a time")
    parser.add_argument("--timeout", type=float, default=usual.timeout, help="seconds for an answer")
    parser.add_argument("--first-pause", type=float, default=pauses.first, help="seconds")
    parser.add_argument("--longest-pause", type=float, default=pauses.longest, help="seconds")
    parser.add_argument("--give-up-after", type=float, default=pauses.over / 3_600, help="hours")
    parser.add_argument("--metrics-port", type=port_of, default=port_from_environment(), help=f"[{PORT_VARIABLE}]")
    given = parser.parse_args(arguments)
    return WebhookSettings(
        given.bootstrap,
        given.registry_url,
        given.database_url,
        room=given.parallel,
        timeout=given.timeout,
        retrying=Retrying.within(given.first_pause, given.longest_pause, given.give_up_after),
        metrics_port=given.metrics_port,
    )


if __name__ == "__main__":
    log_json("webhooks")
    sys.exit(run(settings_from()))
