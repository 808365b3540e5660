"""`python -m portalbus.connectors.alerting`: tells people of the bus's alerts, by mail and webhook."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from portalbus.connectors.alerting.channels import channels
from portalbus.connectors.alerting.process import run
from portalbus.connectors.alerting.report_channels import report_channels
from portalbus.connectors.alerting.settings import AlertingWrong, read_settings
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics.measuring import PORT_VARIABLE, port_from_environment, port_of


def main(arguments: list[str] | None = None) -> int:
    """Runs until told to stop; 2 when the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m portalbus.connectors.alerting", description=__doc__)
    found = os.environ.get("PORTALBUS_DATABASE")
    parser.add_argument("--database-url", default=found, required=found is None, help="[PORTALBUS_DATABASE]")
    parser.add_argument("--config", type=Path, required=True, help="TOML file: who is told")
    parser.add_argument("--metrics-port", type=port_of, default=port_from_environment(), help=f"[{PORT_VARIABLE}]")
    given = parser.parse_args(arguments)
    try:
        settings = read_settings(given.config)
    except AlertingWrong as wrong:
        print(f"portalbus: {wrong}", file=sys.stderr)
        return 2
    run(given.database_url, channels(settings), given.metrics_port, reports=report_channels(settings))
    return 0


if __name__ == "__main__":
    log_json("alerting")
    sys.exit(main())
