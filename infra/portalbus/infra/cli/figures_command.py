"""`portalbus figures` and `portalbus figures export`."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, USAGE, Ended
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console, one_agency, options_of_its_own

if TYPE_CHECKING:
    from portalbus.streams.reading.accountability import Figures, GroupBy, Wanted

app = typer.Typer(
    help="What became of feedback: in time, overdue, refused, passed on, returned, and how satisfied people were.",
    epilog=EPILOG,
    rich_markup_mode=None,
)

SHOWN = (
    "received", "on_time", "late", "open", "overdue", "refused", "transferred", "returned", "progress_missed", "climbs",
)  # fmt: skip

Agency = Annotated[str | None, typer.Option(help="Only this agency and its units, such as H26.")]
From = Annotated[
    str | None, typer.Option("--from", help="First day of receipt, such as 2026-01-01. [default: this year's first]")
]
To = Annotated[str | None, typer.Option("--to", help="Last day of receipt. [default: today]")]


@app.callback(invoke_without_command=True)
def figures(
    context: typer.Context,
    agency: Agency = None,
    first: From = None,
    last: To = None,
    by: Annotated[str, typer.Option(help="What to group by: agency, level, field, regime, month.")] = "agency",
    json_: Json = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Count what became of the cases that were received in a period.

    on_time, late, open, overdue, transferred, diverted, withdrawn and split add up to received. All of it is
    counted from what is folded from the ledger, and comes out the same to the unit when it is folded anew.
    """
    options_of_its_own(context)
    if context.invoked_subcommand is not None:
        return
    wanted = _wanted(agency, first, last, _groups(by))
    found = _read(wanted, home, database_url)
    if json_:
        from portalbus.streams.reading.accountability import as_plain

        typer.echo(json.dumps([as_plain(one) for one in found], indent=2, ensure_ascii=False))
    elif csv_:
        _write_csv(found, wanted)
    else:
        _show(found, wanted)


@app.command("export", epilog=EPILOG)
def export(
    mapping: Annotated[Path | None, typer.Option(help="The mapping. [default: the one shipped, emc.toml]")] = None,
    agency: Agency = None,
    first: From = None,
    last: To = None,
    out: Annotated[Path | None, typer.Option(help="Write here instead of printing.")] = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Write the figures as the indicators of a measuring platform, by a mapping that can be replaced."""
    from portalbus.connectors.measuring.mapping import MappingWrong, Measuring

    try:
        measuring = Measuring.read(mapping)
    except (MappingWrong, OSError) as error:
        raise Ended(USAGE, str(error)) from error
    wanted = _wanted(agency, first, last, measuring.by)
    rows = measuring.rows(_read(wanted, home, database_url), wanted.first, wanted.last, datetime.now(UTC))
    text = measuring.write(rows)
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")
        console(stderr=True).print(f"{len(rows)} indicators written to {out}")


@app.command("recount", epilog=EPILOG)
def recount(database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Empty casework, so that the process folds all of it anew from the ledger; the figures come out the same."""
    from portalbus.streams.casework.store import forget_everything
    from portalbus.streams.ledger.database import connect

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="figures") as connection:
        connection.execute("select 1 from casework.place for update")
        forget_everything(connection)
    console().print("casework is emptied; the figures are whole again once the process has read the ledger")


def _read(wanted: Wanted, home: Path | None, database_url: str | None) -> list[Figures]:
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.accountability import read_figures

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="figures", autocommit=True) as connection:
        return read_figures(connection, wanted)


def _wanted(agency: str | None, first: str | None, last: str | None, by: tuple[GroupBy, ...]) -> Wanted:
    from portalbus.schemas.zone import ZONE
    from portalbus.streams.reading.accountability import Wanted

    today = datetime.now(ZONE).date()
    since, until = _day(first, date(today.year, 1, 1)), _day(last, today)
    if until < since:
        raise Ended(USAGE, f"--to {until} lies before --from {since}")
    return Wanted(since, until, one_agency(agency), by)


def _groups(said: str) -> tuple[GroupBy, ...]:
    from portalbus.streams.reading.accountability import GroupBy

    try:
        return tuple(dict.fromkeys(GroupBy(word.strip()) for word in said.split(",") if word.strip()))
    except ValueError as error:
        raise Ended(USAGE, f"--by {said}: {error}; known are {', '.join(GroupBy)}") from error


def _day(said: str | None, usual: date) -> date:
    try:
        return date.fromisoformat(said) if said else usual
    except ValueError as error:
        raise Ended(USAGE, f"{said} is no day; an example is 2026-01-31") from error


def _write_csv(found: list[Figures], wanted: Wanted) -> None:
    from portalbus.streams.reading.accountability import as_plain

    rows = [
        {**as_plain(one), "refusals": " ".join(f"{reason}={count}" for reason, count in one.refusals.items())}
        for one in found
    ]
    names = list(rows[0]) if rows else [one.value for one in wanted.by]
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _show(found: list[Figures], wanted: Wanted) -> None:
    from rich.table import Table

    from portalbus.streams.reading.accountability import total

    if not found:
        console().print(f"no case was received from {wanted.first} to {wanted.last}")
        return
    table = Table(*(one.value for one in wanted.by), box=None, header_style="bold")
    for name in (*SHOWN, "satisfaction"):
        table.add_column(name.replace("_", " "), justify="right")
    for one in [*found, total(found)]:
        counts = [str(getattr(one.counts, name)) for name in SHOWN]
        group = [one.group.get(part.value, "all") for part in wanted.by]
        rated = one.counts.satisfaction
        table.add_row(*group, *counts, f"{rated:.2f}" if rated is not None else "–")
    console().print(table)
