"""`portalbus prepare`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from portalbus.infra.cli.options import (
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    RegistryUrl,
    addresses,
    agency_codes,
    console,
)


def prepare(
    agency: Annotated[
        list[str] | None, typer.Option("--agency", help="Topics of these agencies only; without it, all of today's.")
    ] = None,
    topics: Annotated[
        bool, typer.Option(help="Make topics; not where something else makes them, such as Strimzi.")
    ] = True,
    json_: Json = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Make what a bus needs before its processes start, and what an upgrade adds: topics, contracts, tables.

    Any number of times: only what is missing is made, and nothing is deleted.
    """
    from portalbus.infra.bus.provision import admin_client, provision, wanted_topics
    from portalbus.schemas.directory import directory
    from portalbus.schemas.registration import register_all
    from portalbus.schemas.registry import SchemaRegistry
    from portalbus.streams.ledger.database import migrate

    codes = agency_codes(agency) if agency else [one.code for one in directory().current(datetime.now(UTC).date())]
    need = ("registry_url", "database_url", *(("bootstrap",) if topics else ()))
    where = addresses(home, need, bootstrap=bootstrap, registry_url=registry_url, database_url=database_url)
    made = mended = 0
    if topics:
        made, problems = provision(admin_client(where.bootstrap), wanted_topics(codes))
        mended = len({problem.topic for problem in problems})
    ids = register_all(SchemaRegistry(where.registry_url))
    migrations = migrate(where.database_url)
    if json_:
        told = {"topics_made": made, "topics_mended": mended, "contracts": ids, "migrations": migrations}
        typer.echo(json.dumps(told, indent=2))
        return
    if topics:
        console().print(f"{made} topics made, {mended} mended")
    console().print(f"{len(ids)} contracts registered")
    console().print(f"migrations: {', '.join(migrations) or 'none was missing'}")
