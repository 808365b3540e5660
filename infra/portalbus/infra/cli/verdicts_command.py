"""`portalbus verdicts`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, Ended
from portalbus.infra.cli.options import DatabaseUrl, Home, Json, addresses, console, one_agency

if TYPE_CHECKING:
    from portalbus.streams.reading.proof import Proof

MOST_OPEN = 50


def verdicts(
    agency: Annotated[str | None, typer.Option(help="The lane of this agency alone.", show_default=False)] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Prove that every record has exactly one final verdict, or is listed as open."),
    ] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Count the verdicts by status and rule; with --check, prove that every record of every lane has exactly one.

    A record is a place in a lane. An event that was sent again lies there twice: one record is ACCEPTED, the other is a
    DUPLICATE, and both verdicts are final.

    The proof takes one snapshot of the ledger, at any time, while everything runs. It lists what is open: waiting with
    its time, or parked. Exit status 1 when it does not hold.
    """
    import psycopg

    from portalbus.streams.reading.proof import prove_verdicts

    code = one_agency(agency)
    where = addresses(home, ("database_url",), database_url=database_url)
    with psycopg.connect(where.database_url, connect_timeout=5, options="-c timezone=UTC") as connection:
        proof = prove_verdicts(connection, code)
    if json_:
        typer.echo(json.dumps({**asdict(proof), "holds": proof.holds}, indent=2, ensure_ascii=False, default=str))
    else:
        _print(proof, check)
    if check and not proof.holds:
        raise Ended(NO, "" if json_ else "not every record has its one verdict")


def _print(proof: Proof, check: bool) -> None:
    from rich.table import Table

    out = console()
    if not proof.counts:
        out.print("nothing has been judged yet")
    else:
        table = Table("status", "rule", "records", "", box=None, header_style="bold")
        for count in proof.counts:
            table.add_row(count.status, count.rule, str(count.records), "" if count.final else "open")
        out.print(table)
    out.print(f"{proof.records} records, {proof.heartbeats} heartbeats, {len(proof.open)} open")
    if not check:
        return
    for item in proof.open[:MOST_OPEN]:
        until = f"until {item.until.astimezone().isoformat(sep=' ', timespec='seconds')}" if item.until else ""
        out.print(f"  {item.agency}@{item.lane_offset}  {item.status} [{item.rule}] {until}")
    if len(proof.open) > MOST_OPEN:
        out.print(f"  … and {len(proof.open) - MOST_OPEN} more: --json lists them all")
    for problem in proof.problems:
        out.print(f"✗ {problem}")
    if proof.holds:
        out.print("✓ every record has exactly one final verdict, or is listed as open")
