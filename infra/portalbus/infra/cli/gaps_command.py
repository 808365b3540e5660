"""`portalbus gaps list|close`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.options import (
    DatabaseUrl,
    Home,
    Json,
    Who,
    Why,
    addresses,
    agency_code,
    console,
    decider,
    one_agency,
)

if TYPE_CHECKING:
    from portalbus.streams.ledger.gap_desk import ListedGap

RANGE = re.compile(r"(?P<first>[0-9]{1,18})(?:-(?P<last>[0-9]{1,18}))?")

app = typer.Typer(
    help="Events that a source numbered and that have not come.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=EPILOG)
def list_(
    agency: Annotated[str | None, typer.Option(help="Only this agency, such as H26.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that were given up.")] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List what is missing, by source; exit status 1 when something is.

    An open gap is asked for again and again, first after seconds, then every hour. A gap is gone when its source says
    that it does not keep those events any more: find out why, and close it.
    """
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.ledger.gap_desk import list_gaps

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="gaps", autocommit=True) as connection:
        found = list_gaps(connection, code, closed=closed)
    if json_:
        typer.echo(json.dumps([_plain(asdict(gap)) for gap in found], indent=2, ensure_ascii=False))
    elif not found:
        console().print("nothing is missing" + (f" from {code}" if code else ""))
    else:
        _show(found)
    if any(gap.state != "closed" for gap in found):
        raise Ended(NO)


@app.command("close", epilog=EPILOG)
def close(
    agency: Annotated[str, typer.Argument(help="Agency, such as H26.")],
    portal: Annotated[str, typer.Argument(help="Portal, such as www.")],
    sequences: Annotated[str, typer.Argument(metavar="FIRST[-LAST]", help="The sequences to give up.")],
    why: Why,
    who: Who = None,
    epoch: Annotated[int | None, typer.Option(help="Epoch of the outbox. [default: the newest]")] = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Give up missing events for a recorded reason: nobody asks for them or waits for them any more.

    Events held behind them go on within seconds. One that comes after all is applied in its place all the same.
    """
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.ledger.gap_desk import close_gap

    code = agency_code(agency)
    first, last = _range(sequences)
    by, reason = decider(who, why)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="gaps") as connection:
        closed = close_gap(connection, code, portal, first, last, who=by, why=reason, epoch=epoch)
    if not closed:
        raise Ended(NO, f"no gap of {code}/{portal} lies there: see `portalbus gaps list --agency {code}`")
    if json_:
        rows = [{"epoch": gap.epoch, "first": gap.first, "last": gap.last, "missing": gap.missing} for gap in closed]
        typer.echo(json.dumps(rows, indent=2))
        return
    for gap in closed:
        console().print(f"{code}/{portal} epoch {gap.epoch}: {_span(gap.first, gap.last)} closed")


def _show(found: list[ListedGap]) -> None:
    from rich.table import Table

    table = Table("source", "epoch", "sequences", "missing", "state", "since", "asked", box=None, header_style="bold")
    for gap in found:
        state = gap.state
        if gap.state == "closed":
            state = f"closed by {gap.closed_by}: {gap.why}"
        elif gap.hold_until is not None:
            state = f"open, {gap.held} events of the source wait"
        table.add_row(
            f"{gap.agency}/{gap.portal}",
            str(gap.epoch),
            _span(gap.first, gap.last),
            str(gap.missing),
            state,
            gap.opened_at.isoformat(sep=" ", timespec="seconds"),
            f"{gap.asked} times",
        )
    console().print(table)


def _range(text: str) -> tuple[int, int]:
    match = RANGE.fullmatch(text)
    first = int(match["first"]) if match else 0
    last = int(match["last"] or first) if match else 0
    if not 1 <= first <= last:
        raise Ended(USAGE, f"{text} is no range of sequences: write 17, or 17-20")
    return first, last


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
