"""The commands of `portalbus`, and how one is run.

Each command imports what it needs when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from portalbus.infra.cli import (
    accounts_commands,
    alerting_commands,
    alerts_command,
    backup_commands,
    bus_commands,
    cases_commands,
    conformance_command,
    connect_commands,
    demo_command,
    docs_command,
    doctor_command,
    figures_command,
    gaps_command,
    gateway_commands,
    generate_commands,
    migrations_commands,
    outbox_commands,
    parked_commands,
    prepare_command,
    publish_command,
    rebuild_command,
    reconcile_command,
    route_command,
    schemas_commands,
    sources_command,
    synthesis_command,
    tail_command,
    topics_commands,
    trace_command,
    verdicts_command,
    webhooks_commands,
)
from portalbus.infra.cli.exits import EPILOG, say_error, status_of

EXAMPLES = """The event-streaming integration bus of government portals.

\b
  portalbus demo                                   the whole bus with 43 simulated portals
  portalbus up --detach && portalbus status        the bus in the background
  portalbus publish events.ndjson --agency H26     CloudEvents, one a line
  portalbus trace 7GQ2M0Z4KX9A                     follow an event, case or directive to its page
  portalbus tail verdict.H26 --from-beginning      what the centre said to H26
  portalbus doctor                                 what is wrong, and what to do about it
"""

app = typer.Typer(
    name="portalbus",
    help=EXAMPLES,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)

app.command("up", epilog=EPILOG)(bus_commands.up)
app.command("down", epilog=EPILOG)(bus_commands.down)
app.command("status", epilog=EPILOG)(bus_commands.status)
app.command("prepare", epilog=EPILOG)(prepare_command.prepare)
app.command("demo", epilog=EPILOG)(demo_command.demo)
app.command("publish", epilog=EPILOG)(publish_command.publish)
app.command("trace", epilog=EPILOG)(trace_command.trace)
app.command("reconcile", epilog=EPILOG)(reconcile_command.reconcile)
app.command("rebuild", epilog=EPILOG)(rebuild_command.rebuild)
app.command("tail", epilog=EPILOG)(tail_command.tail)
app.command("verdicts", epilog=EPILOG)(verdicts_command.verdicts)
app.command("doctor", epilog=EPILOG)(doctor_command.doctor)
app.command("conformance", epilog=EPILOG)(conformance_command.conformance)
app.command("backup", epilog=EPILOG)(backup_commands.backup)
app.command("restore", epilog=EPILOG)(backup_commands.restore)
app.command("urgent", epilog=EPILOG)(cases_commands.urgent)
app.command("route", epilog=EPILOG)(route_command.route)
app.add_typer(cases_commands.app, name="cases")
app.add_typer(figures_command.app, name="figures")
app.command("synthesis", epilog=EPILOG)(synthesis_command.synthesis)
app.add_typer(accounts_commands.app, name="accounts")
app.add_typer(schemas_commands.app, name="schemas")
app.add_typer(outbox_commands.app, name="outbox")
app.add_typer(parked_commands.app, name="parked")
app.add_typer(gaps_command.app, name="gaps")
app.add_typer(sources_command.app, name="sources")
app.add_typer(alerts_command.app, name="alerts")
app.add_typer(webhooks_commands.app, name="webhooks")
app.add_typer(connect_commands.app, name="connect")
app.add_typer(gateway_commands.app, name="gateway")
app.add_typer(alerting_commands.app, name="alerting")
app.add_typer(topics_commands.app, name="topics")
app.add_typer(migrations_commands.app, name="migrations")
app.add_typer(generate_commands.app, name="generate")
app.add_typer(docs_command.app, name="docs")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"portalbus {version('portalbus')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options before the command."""


def run(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    try:
        app(args=argv, prog_name="portalbus")
    except SystemExit as ended:
        return _as_status(ended.code)
    except BaseException as error:
        status, sentence = status_of(error)
        say_error(sentence)
        return status
    return 0


def _as_status(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
