"""`portalbus accounts add|list|revoke`: who may log in to the console."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, agency_code, console

if TYPE_CHECKING:
    from psycopg import Connection

app = typer.Typer(
    help="Accounts of the console: who may see and decide for which agency.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="Name to log in with, such as lan@hanoi.")]


@app.command("add", epilog=EPILOG)
def add(
    name: Name,
    agency: Annotated[str | None, typer.Option(help="The agency it is for, such as H26.", show_default=False)] = None,
    centre: Annotated[bool, typer.Option("--centre", help="For the centre: every agency.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; else one is made.")
    ] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Make an account. A password that was made for it is printed once; it cannot be shown again.

    \b
      portalbus accounts add lan@hanoi --agency H26
      portalbus accounts add truc-ban --centre

    To give somebody a new password, revoke the account and add it again.
    """
    from portalbus.connectors.console.accounts import add_account
    from portalbus.connectors.console.passwords import new_password

    if (agency is None) != centre:
        raise Ended(USAGE, "say for whom: --agency H26, or --centre")
    code = _agency(agency) if agency else None
    password = sys.stdin.readline().rstrip("\n") if password_stdin else new_password()
    with _connection(home, database_url) as connection:
        try:
            account = add_account(connection, name, password, code)
        except ValueError as error:
            raise Ended(USAGE, str(error)) from None
    if account is None:
        raise Ended(NO, f"{name} is in use: revoke it first, see `portalbus accounts list`")
    if json_:
        made = {} if password_stdin else {"password": password}
        typer.echo(json.dumps({"name": name, "agency": code, **made}, ensure_ascii=False))
        return
    console().print(mark(True), f"{name} for {code or 'the centre'}")
    if not password_stdin:
        console().print("its password, shown this once:")
        typer.echo(password)


@app.command("list", epilog=EPILOG)
def list_(json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """List the accounts, also revoked ones."""
    from rich.table import Table

    from portalbus.connectors.console.accounts import list_accounts

    with _connection(home, database_url) as connection:
        found = list_accounts(connection)
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=_plain))
    elif not found:
        console().print("there are no accounts: portalbus accounts add NAME --centre")
    else:
        table = Table("", "name", "for", "made", "revoked", box=None, header_style="bold")
        for one in found:
            revoked = _time(one.revoked_at) if one.revoked_at else ""
            table.add_row(
                mark(not one.revoked_at), one.name, one.agency or "the centre", _time(one.created_at), revoked
            )
        console().print(table)


@app.command("revoke", epilog=EPILOG)
def revoke(name: Name, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Take an account out of use, and log out who is logged in with it."""
    from portalbus.connectors.console.accounts import revoke_account

    with _connection(home, database_url) as connection:
        if not revoke_account(connection, name):
            raise Ended(NO, f"no account {name} is in use: see `portalbus accounts list`")
    console().print(f"{name} is revoked")


def _agency(given: str) -> str:
    from portalbus.schemas.directory import directory, first_level
    from portalbus.schemas.errors import AgencyUnknown

    code = agency_code(given)
    if first_level(code) != code:
        raise Ended(USAGE, f"an account is for a whole agency: write {first_level(code)}")
    try:
        directory().agency(code, date.today())
    except AgencyUnknown as error:
        raise Ended(USAGE, str(error)) from None
    return code


@contextmanager
def _connection(home: Path | None, database_url: str | None) -> Iterator[Connection[Any]]:
    from portalbus.streams.ledger.database import connect

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="accounts", autocommit=True) as connection:
        yield connection


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
