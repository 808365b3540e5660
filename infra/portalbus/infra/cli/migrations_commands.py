"""`portalbus migrations status|up|down`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, NO, Ended
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console, local_time

app = typer.Typer(
    help="The tables of the ledger: which version they have, and the way there and back.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("status", epilog=EPILOG)
def status(json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """List the migrations that the database has, and those that it lacks. Exit status 1 when one is missing.

    One that this version does not know was applied by a newer one: take it back with that one, or let it stand.
    """
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.ledger.stepping_back import list_migrations

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="look") as connection:
        found = list_migrations(connection)
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
    else:
        for one in found:
            said = "" if one.known else "  (of a newer version)"
            console().print(f"{one.name:28} {local_time(one.applied_at) if one.applied_at else 'missing'}{said}")
    if any(one.applied_at is None for one in found):
        raise Ended(NO)


@app.command("up", epilog=EPILOG)
def up(json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Apply the migrations that are missing, each in a transaction; the bus may go on meanwhile.

    A table that somebody holds is waited for no longer than a second at a time, so that nobody queues up behind it.
    """
    from portalbus.streams.ledger.database import migrate

    where = addresses(home, ("database_url",), database_url=database_url)
    applied = migrate(where.database_url)
    if json_:
        typer.echo(json.dumps({"applied": applied}, indent=2))
    else:
        console().print(f"applied: {', '.join(applied) or 'none was missing'}")


@app.command("down", epilog=EPILOG)
def down(
    to: Annotated[int, typer.Option("--to", min=0, help="The number of the migration that stays the newest.")],
    lose_rows: Annotated[
        bool, typer.Option("--lose-rows", help="Agree that rows are lost which the tables of before cannot hold.")
    ] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Undo migrations, newest first, each in a transaction, so that the version before finds the tables it knows.

    Stop every process of the bus before, and make a backup. Run it with the version that applied them, then install
    the one before. Where rows would be lost it says which, and does nothing without --lose-rows (exit status 1).

    \b
      portalbus backup --out before.dump
      portalbus migrations down --to 15
    """
    from portalbus.streams.ledger.stepping_back import RowsWouldBeLost, step_back

    where = addresses(home, ("database_url",), database_url=database_url)
    try:
        done = step_back(where.database_url, to, lose_rows=lose_rows)
    except RowsWouldBeLost as refused:
        if json_:
            typer.echo(json.dumps({"undone": [], "would_lose": [asdict(one) for one in refused.losses]}, indent=2))
            raise Ended(NO) from None
        raise Ended(
            NO, f"{refused}. Nothing was undone: make a backup (`portalbus backup`), then repeat it with --lose-rows"
        ) from None
    if json_:
        typer.echo(json.dumps({"undone": done.undone, "lost": [asdict(one) for one in done.losses]}, indent=2))
        return
    for loss in done.losses:
        console().print(f"lost with {loss.migration}: {loss.what} ({loss.rows})")
    console().print(f"undone: {', '.join(done.undone) or 'nothing is newer'}")
