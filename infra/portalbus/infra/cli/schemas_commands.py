"""`portalbus schemas list|check|commit|register|usage`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import Bootstrap, Home, Json, RegistryUrl, addresses, agency_codes, console

app = typer.Typer(
    help="The contracts: what ships with this package, and what a registry holds.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=EPILOG)
def list_(json_: Json = False, registry_url: RegistryUrl = None, home: Home = None) -> None:
    """List the contracts with their versions, and their ids in the registry when one is known."""
    from portalbus.infra.contracts import contract_rows

    where = addresses(home, (), registry_url=registry_url)
    rows = contract_rows(where.registry_url)
    if json_:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    from rich.table import Table

    table = Table("contract", "version", "id", "fingerprint", "fields", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.subject, str(row.version), str(row.id or "–"), row.fingerprint[:16], str(row.fields))
    console().print(table)


@app.command("check", epilog=EPILOG)
def check(json_: Json = False, registry_url: RegistryUrl = None, home: Home = None) -> None:
    """Check the shipped contracts, and that the registry holds exactly them; exit status 1 for any difference."""
    from portalbus.infra.contracts import check_contracts

    where = addresses(home, (), registry_url=registry_url)
    problems = check_contracts(where.registry_url)
    _report(problems, json_, "the contracts are sound" + (" and the registry holds them" if where.registry_url else ""))


@app.command("commit", epilog=EPILOG)
def commit(name: Annotated[str, typer.Argument(help="Record type, such as FeedbackReceived.")]) -> None:
    """Commit a changed Avro file to the history as its next version; refuses a change that breaks anybody."""
    from portalbus.schemas.avro_files import ALL_TYPES
    from portalbus.schemas.compatibility import add_version
    from portalbus.schemas.errors import ContractBroken

    if name not in ALL_TYPES:
        raise Ended(USAGE, f"there is no contract {name}: see `portalbus schemas list`")
    try:
        version = add_version(name)
    except ContractBroken as broken:
        _report([str(problem) for problem in broken.problems], False, "")
        return
    console().print(f"{name} has not changed" if version is None else f"{name} is at version {version} now")


@app.command("register", epilog=EPILOG)
def register(json_: Json = False, registry_url: RegistryUrl = None, home: Home = None) -> None:
    """Register every version of every contract, oldest first, with FULL_TRANSITIVE; any number of times."""
    from portalbus.schemas.registration import register_all
    from portalbus.schemas.registry import SchemaRegistry

    where = addresses(home, ("registry_url",), registry_url=registry_url)
    ids = register_all(SchemaRegistry(where.registry_url))
    if json_:
        typer.echo(json.dumps(ids, indent=2))
        return
    for name, schema_id in ids.items():
        console().print(f"{name} has the id {schema_id}")


@app.command("usage", epilog=EPILOG)
def usage(
    agency: Annotated[list[str] | None, typer.Option(help="Only these agencies.")] = None,
    last: Annotated[int, typer.Option(min=1, help="Newest records of each lane to look at.")] = 500,
    json_: Json = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Show which source sends which version, by the newest records of its lane; exit status 1 when one is behind."""
    from portalbus.infra.schema_usage import schema_usage

    codes = agency_codes(agency or ())
    where = addresses(home, ("bootstrap", "registry_url"), bootstrap=bootstrap, registry_url=registry_url)
    found = schema_usage(where.bootstrap, where.registry_url, codes, last)
    if json_:
        typer.echo(json.dumps([{**asdict(one), "last_at": one.last_at.isoformat()} for one in found], indent=2))
    else:
        from rich.table import Table

        table = Table("source", "contract", "version", "in force", "records", "last", box=None, header_style="bold")
        for one in found:
            shown = styled(str(one.version or "?"), "yellow" if one.is_behind else "")
            source, at = f"{one.agency}/{one.portal}", f"{one.last_at:%Y-%m-%d %H:%M}"
            table.add_row(source, one.record, shown, str(one.newest), str(one.records), at)
        console().print(table)
    if any(one.is_behind for one in found):
        raise Ended(NO)


def _report(problems: list[str], as_json: bool, good: str) -> None:
    said: dict[str, Any] = {"ok": not problems, "problems": problems}
    if as_json:
        typer.echo(json.dumps(said, indent=2))
    else:
        for problem in problems:
            console().print(mark(False), problem)
        if not problems:
            console().print(mark(True), good)
    if problems:
        raise Ended(NO)
