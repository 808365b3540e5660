"""`portalbus connect init|try|run|status|accept`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli import connect_init_command
from portalbus.infra.cli.exits import EPILOG, NO, UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    Lang,
    RegistryUrl,
    addresses,
    console,
    in_language,
)

if TYPE_CHECKING:
    from portalbus.connectors.pull.config import PullConfig
    from portalbus.connectors.pull.entry import Entry
    from portalbus.connectors.pull.passing import PassReport
    from portalbus.connectors.pull.trying import Trial

app = typer.Typer(
    help="Pull connectors: portals without developers are read, and what is new there is published for them.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Argument(help="The YAML file that names the portals.", metavar="CONFIG")]
PortalName = Annotated[str | None, typer.Option("--portal", help="Only this one, such as H26/www.", show_default=False)]


app.command("init", epilog=EPILOG)(connect_init_command.init)


@app.command("try", epilog=EPILOG)
def try_(config: Config, portal: PortalName = None, json_: Json = False, lang: Lang = USUAL_LANGUAGE) -> None:
    """Show what would be published now, and why something would be refused; nothing is sent or remembered.

    \b
      portalbus connect try pull.yaml
      portalbus connect try pull.yaml --portal H26/www --json

    Exit status 1 when a portal cannot be read, a rule refuses an item, or an alert would be raised.
    """
    from portalbus.connectors.pull.runner import surroundings
    from portalbus.connectors.pull.trying import try_all
    from portalbus.connectors.pull.web.client import Web

    read = _read(config)
    trials = try_all(_wanted(read, portal), surroundings(Web(read.web)), read.workers)
    if json_:
        typer.echo(json.dumps([trial.plain(lang) for trial in trials], indent=2, ensure_ascii=False))
    else:
        for trial in trials:
            show_trial(trial, lang)
    if not all(trial.is_well for trial in trials):
        raise Ended(NO)


@app.command("run", epilog=EPILOG)
def run(
    config: Config,
    once: Annotated[bool, typer.Option("--once", help="One pass over every portal, then end.")] = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Read the portals, each when it is due, and publish what is new, changed or withdrawn; until Ctrl-C or SIGTERM.

    At the centre, where the ledger is known, alerts also reach `portalbus alerts` and central.alert.
    """
    from portalbus.connectors.pull.counting import count_pass
    from portalbus.connectors.pull.logs import log_as_json
    from portalbus.connectors.pull.runner import Runner, alone, speakers
    from portalbus.connectors.pull.web.client import Web
    from portalbus.streams.metrics.defined import Process
    from portalbus.streams.metrics.measuring import Measures, port_from_environment

    read = _read(config)
    where = addresses(
        home,
        ("bootstrap", "registry_url"),
        bootstrap=bootstrap or read.bootstrap or None,
        registry_url=registry_url or read.registry or None,
        database_url=database_url,
    )
    log_as_json()
    web = Web(read.web)
    with (
        _usage(),
        alone(read.memory),
        speakers(read, where.bootstrap, where.registry_url) as speaking,
        _hearing(read, where.database_url) as hear,
    ):
        measures = Measures(Process.PULL)
        measures.serve(port_from_environment())

        def heard(report: PassReport) -> None:
            count_pass(measures, report)
            hear(report)

        runner = Runner(read, speaking, web, hear=heard)

        def end(number: int, frame: FrameType | None) -> None:
            runner.stop()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, end)
        if not once:
            runner.run()
            return
        reports = runner.once()
        delivered = all(portal.flush(30.0) for portal in speaking.values())
    _report(reports)
    if not delivered:
        raise Ended(UNREACHABLE, "Kafka has not acknowledged everything yet; it lies in the outbox for the next run")
    if any(report.failed for report in reports):
        raise Ended(NO)


@app.command("status", epilog=EPILOG)
def status(config: Config, portal: PortalName = None, json_: Json = False) -> None:
    """Show how each portal is doing: when it was read, what it has, what is refused, failures and alerts.

    Exit status 1 when a portal cannot be read at present, or an alert is raised.
    """
    from portalbus.connectors.pull.condition import condition

    read = _read(config)
    conditions = [condition(entry) for entry in _wanted(read, portal)]
    if json_:
        plain = [{**asdict(one), "well": one.is_well} for one in conditions]
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False, default=_plain))
    else:
        for one in conditions:
            said = console()
            read_at = one.read_at.isoformat(timespec="seconds") if one.read_at else "never"
            said.print(
                mark(one.is_well),
                f"{one.entry} ({one.kind}): {one.standing} published, {one.withdrawn} withdrawn,"
                f" {one.refused} refused, {one.pending} on their way; read {read_at}",
            )
            for text in one.troubles:
                said.print(f"    {text}")
    if not all(one.is_well for one in conditions):
        raise Ended(NO)


@app.command("accept", epilog=EPILOG)
def accept(
    config: Config, portal: Annotated[str, typer.Option("--portal", help="Whose alert, such as H26/www.")]
) -> None:
    """Let an alert pass after looking at the portal: what is missing there counts as withdrawn in the usual way."""
    (entry,) = _wanted(_read(config), portal)
    alert = entry.memory.accept()
    if alert is None:
        raise Ended(NO, f"{entry.name} has no alert")
    console().print(f"let pass: {alert.rule}: {alert.text}")


@contextmanager
def _hearing(config: PullConfig, database_url: str) -> Iterator[Callable[[PassReport], None]]:
    """Who hears of each pass: the centre's alerts when the ledger is known, else nobody but the log."""
    if not database_url:
        yield lambda report: None
        return
    from portalbus.connectors.pull.central_alerts import CentralAlerts

    alerts = CentralAlerts(database_url, {one.entry: (one.agency, one.portal) for one in config.portals})
    alerts.start()
    try:
        yield alerts.hear
    finally:
        alerts.stop()


class _usage:  # noqa: N801 - reads as a word of the with statement
    """Mistakes in settings that only opening the portals brings to light are wrong usage."""

    def __enter__(self) -> None:
        """Begins."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Turns a mistake into one sentence."""
        from portalbus.connectors.pull.config_file import ConfigWrong

        if isinstance(error, (ConfigWrong, ValueError)):
            raise Ended(USAGE, str(error)) from None


def _read(path: Path) -> PullConfig:
    from portalbus.connectors.pull.config_file import ConfigWrong, read_config

    try:
        return read_config(path)
    except ConfigWrong as wrong:
        raise Ended(USAGE, str(wrong)) from None


def _wanted(config: PullConfig, name: str | None) -> list[Entry]:
    from portalbus.connectors.pull.entry import entries

    found = entries(config)
    wanted = [entry for entry in found if name is None or entry.name == name]
    if not wanted:
        raise Ended(USAGE, f"there is no {name}; there are {', '.join(entry.name for entry in found)}")
    return wanted


def show_trial(trial: Trial, lang: str) -> None:
    """Prints what a pass over one portal would do."""
    said = console()
    said.print(styled(trial.entry, "bold"), f"({trial.kind})")
    if trial.failed:
        said.print(f"  ✗ {trial.failed}", style="red")
        return
    if trial.alert is not None:
        said.print(f"  ! [{trial.alert.rule}] {trial.alert.text}; nothing is withdrawn", style="yellow")
    for decided in trial.events:
        title = getattr(decided.payload, "title", None) or getattr(decided.payload, "subject", None) or ""
        said.print(f"  + {decided.what.value} {decided.item_id}: {title[:100]}", style="green")
    for refused in trial.refused:
        said.print(f"  ✗ refused {refused.item_id}", style="red")
        for finding in refused.findings:
            text = f"{in_language(finding.message, lang)} {in_language(finding.mend, lang)}".rstrip()
            said.print(f"      [{finding.rule}] {finding.path}: {text}")
    for remark in trial.remarks:
        said.print(f"  · {remark}", style="dim")
    said.print(f"  {len(trial.events)} would be published, {len(trial.refused)} refused, {trial.unchanged} unchanged")


def _report(reports: Sequence[PassReport]) -> None:
    for report in reports:
        said = report.failed or report.postponed or f"{report.published} published"
        console().print(f"{report.entry}: {said}")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
