"""`portalbus alerting run|status`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console

app = typer.Typer(
    help="Tell people of the bus's alerts by e-mail and webhook, without a monitoring stack.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Config = Annotated[Path, typer.Option("--config", help="TOML file: the mail server, and who is told.")]


@app.command("run", epilog=EPILOG)
def run(
    config: Config,
    once: Annotated[bool, typer.Option("--once", help="Tell what is due, then end.")] = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Tell of alerts as they open and close, until Ctrl-C or SIGTERM; goes on where it left off."""
    from portalbus.connectors.alerting import process
    from portalbus.connectors.alerting.channels import channels
    from portalbus.connectors.alerting.report_channels import report_channels
    from portalbus.connectors.alerting.settings import AlertingWrong, read_settings
    from portalbus.streams.logging_setup import log_json
    from portalbus.streams.metrics.measuring import port_from_environment

    where = addresses(home, ("database_url",), database_url=database_url)
    try:
        settings = read_settings(config)
    except AlertingWrong as wrong:
        raise Ended(USAGE, str(wrong)) from wrong
    log_json("alerting")
    process.run(
        where.database_url, channels(settings), port_from_environment(), reports=report_channels(settings), once=once
    )


@app.command("status", epilog=EPILOG)
def status(config: Config, json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Show how it stands with each recipient; exit status 1 when one cannot be told at present."""
    from portalbus.connectors.alerting.channels import channels
    from portalbus.connectors.alerting.report_channels import report_channels
    from portalbus.connectors.alerting.reporting import report_conditions
    from portalbus.connectors.alerting.settings import AlertingWrong, read_settings
    from portalbus.connectors.alerting.telling import PACKAGE, conditions
    from portalbus.streams.ledger.database import connect, migrate

    where = addresses(home, ("database_url",), database_url=database_url)
    try:
        settings = read_settings(config)
    except AlertingWrong as wrong:
        raise Ended(USAGE, str(wrong)) from wrong
    migrate(where.database_url, PACKAGE)
    with connect(where.database_url, application="alerting-status", autocommit=True) as connection:
        found = conditions(connection, channels(settings))
        found += report_conditions(connection, report_channels(settings))
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
    else:
        from rich.table import Table

        table = Table("recipient", "told", "waiting", "failures", "last error", box=None, header_style="bold")
        for one in found:
            table.add_row(one.recipient, str(one.told), str(one.waiting), str(one.failures), one.last_error or "–")
        console().print(table)
    if any(one.failures for one in found):
        raise Ended(NO)
