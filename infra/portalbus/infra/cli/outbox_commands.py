"""`portalbus outbox status|repair`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark
from portalbus.infra.cli.options import Json, console, quiet_logs

FILE = re.compile(r"^(?P<agency>[A-Y][0-9]{2}(?:\.[A-Z0-9]+)*)\.(?P<portal>[a-z0-9][a-z0-9._-]*)\.outbox$")

app = typer.Typer(
    help="A portal's outbox: how it is doing, and how to mend it.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the outbox, or one .outbox file in it.")]


@app.command("status", epilog=EPILOG)
def status(path: Folder, json_: Json = False) -> None:
    """Tell how the outboxes of a folder are doing; exit status 1 when one needs somebody to look."""
    from portalbus.producers import Portal

    quiet_logs()
    found = []
    for folder, agency, portal in _outboxes(path):
        speaker = Portal(agency, portal, outbox=folder, deliver=False)
        found.append(speaker.status())
        speaker.close()
    if json_:
        typer.echo(json.dumps([{**_plain(asdict(item)), "healthy": item.healthy} for item in found], indent=2))
    for item in found if not json_ else []:
        console().print(
            mark(item.healthy),
            f"{item.agency}/{item.portal} epoch {item.epoch}:"
            f" {item.delivered_sequence} of {item.last_sequence} delivered,"
            f" {item.undelivered} to go, {item.dead} dead, {item.held} held behind them, {item.fill:.0%} full",
        )
        for trouble in (item.damaged, item.last_error):
            if trouble:
                console().print(f"    {trouble}")
    if not all(item.healthy for item in found):
        raise Ended(NO)


@app.command("repair", epilog=EPILOG)
def repair(path: Folder, json_: Json = False) -> None:
    """Start a new epoch of a damaged or restored outbox; stop the portal before.

    Nothing that can still be read is lost.
    """
    from portalbus.producers import repair_outbox

    quiet_logs()
    outboxes = _outboxes(path)
    if len(outboxes) > 1:
        raise Ended(USAGE, f"there are {len(outboxes)} outboxes in {path}: name the file of the one to repair")
    done = repair_outbox(*outboxes[0])
    if json_:
        typer.echo(json.dumps(_plain(asdict(done)), indent=2))
        return
    console().print(
        f"epoch {done.epoch}: {done.kept} events kept, {done.altered} of them altered, {done.missing} missing"
    )
    if done.aside is not None:
        console().print(f"the damaged file lies at {done.aside}")


def _outboxes(path: Path) -> list[tuple[Path, str, str]]:
    """Folder, agency and portal of each outbox that was meant."""
    files = sorted(path.glob("*.outbox")) if path.is_dir() else [path] if path.is_file() else []
    found = [(file.parent, match["agency"], match["portal"]) for file in files if (match := FILE.match(file.name))]
    if not found:
        raise Ended(USAGE, f"there is no outbox at {path}: its files are named <agency>.<portal>.outbox")
    return found


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, timedelta):
            shown[name] = value.total_seconds()
        elif isinstance(value, datetime):
            shown[name] = value.isoformat()
        else:
            shown[name] = str(value) if isinstance(value, Path) else value
    return shown
