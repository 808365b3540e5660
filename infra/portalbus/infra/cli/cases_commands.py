"""`portalbus cases` with its subcommands, and `portalbus urgent`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli import handing_on_command, undecided_commands
from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import styled
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console, one_agency, options_of_its_own

if TYPE_CHECKING:
    from rich.table import Table


app = typer.Typer(rich_markup_mode=None)
app.command("undecided", epilog=EPILOG)(undecided_commands.undecided)
app.command("assign", epilog=EPILOG)(undecided_commands.assign)
app.command("decisions", epilog=EPILOG)(undecided_commands.decisions)
app.command("route", epilog=EPILOG)(handing_on_command.route)


@app.callback(invoke_without_command=True, epilog=EPILOG)
def cases(
    context: typer.Context,
    agency: Annotated[str | None, typer.Option(help="Only this agency and its units, such as H26.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List what is owed to people who gave feedback, by when and by which rule; exit status 1 when some is overdue.

    The subcommands are about who handles a case: what a person decides, and what the rules of competence say.
    """
    options_of_its_own(context)
    if context.invoked_subcommand is not None:
        return
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.casework import owed

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="cases", autocommit=True) as connection:
        found = owed(connection, code, overdue=overdue, limit=limit)
    if json_:
        _print_json(found)
    elif not found:
        console().print("nothing is overdue" if overdue else "nothing is owed")
    else:
        table = _table("case", "owed by", "what", "by", "state", "rule")
        for one in found:
            state = styled("overdue", "red") if one.state == "MISSED" else one.state.lower()
            what = one.duty.lower().replace("_", " ") + (f" {one.number}" if one.duty == "PROGRESS" else "")
            table.add_row(one.case_id, one.agency, what, str(one.due_on or "–"), state, one.rule)
        console().print(table)
    if any(one.state == "MISSED" for one in found):
        raise Ended(NO)


@app.command("mismatches", epilog=EPILOG)
def mismatches(
    agency: Annotated[
        str | None, typer.Option(help="Only those that name this agency, such as H26, or that it has.")
    ] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List open cases that were received for another body than the rules of competence name.

    The body that a portal names has the case all the same, until it passes it on. Where many differ, a portal sends to
    the wrong body or a rule is wrong: `portalbus route` explains each. What the body that the rules name has by now is
    not listed.
    """
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.casework import mismatches as read

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="mismatches", autocommit=True) as connection:
        found = read(connection, code, ended=ended, limit=limit)
    if json_:
        _print_json(found)
    elif not found:
        console().print("every case names the body that the rules of competence name, as far as they name one")
    else:
        table = _table("case", "received for", "by the rules", "rule", "field", "area", "has it now")
        for one in found:
            rules = ", ".join(one.rules)
            table.add_row(one.case_id, one.named, one.suggested, rules, one.field or "–", one.area or "–", one.owner)
        console().print(table)


def urgent(
    authority: Annotated[str | None, typer.Option(help="Only those that wait for this authority, such as H26.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Only those that nobody acknowledged at any level.")] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List urgent cases that nobody has acknowledged, with who has to and by when; exit status 1 when there are any.

    An authority that misses its time loses the case to the one above it; above the Government Portal is the digest for
    the Government and the Prime Minister.
    """
    from portalbus.schemas.law.levels import DIGEST
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.casework import urgent_cases

    if authority and digest:
        raise Ended(USAGE, "--authority and --digest do not go together")
    wanted = DIGEST if digest else one_agency(authority)
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="urgent", autocommit=True) as connection:
        found = urgent_cases(connection, wanted)
    if json_:
        _print_json(found)
    elif not found:
        console().print("no urgent case waits to be acknowledged")
    else:
        table = _table("case", "with", "field", "received", "waits for", "until", "climbed")
        for one in found:
            waits = "the digest" if one.authority == DIGEST else one.authority
            received = _time(one.received_at)
            table.add_row(
                one.case_id, one.agency, one.field or "–", received, waits, _time(one.due_at), str(one.climbed)
            )
        console().print(table)
    if found:
        raise Ended(NO)


def _table(*columns: str) -> Table:
    from rich.table import Table

    return Table(*columns, box=None, header_style="bold")


def _print_json(found: Sequence[Any]) -> None:
    plain = [{name: _plain(value) for name, value in asdict(one).items()} for one in found]
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _time(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else "–"
