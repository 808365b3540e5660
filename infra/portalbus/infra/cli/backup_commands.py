"""`portalbus backup` and `portalbus restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from portalbus.infra.cli.exits import USAGE, Ended
from portalbus.infra.cli.options import Bootstrap, DatabaseUrl, Home, RegistryUrl, addresses, console


def backup(
    out: Annotated[Path, typer.Option("--out", help="The file to write; it appears when it is complete.")],
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Write the ledger's database into a file, as of one moment; everything goes on meanwhile.

    The lanes are kept for ever and are no part of it: after a restore the bus reads them on from where the backup was.
    Accounts of the console and webhooks' secrets are in the file: keep it as you keep the database.
    """
    from portalbus.infra.backup import back_up

    where = addresses(home, ("database_url",), database_url=database_url)
    back_up(where.database_url, out)
    console().print(f"✓ {out}: {out.stat().st_size / 1e6:.1f} MB")


def restore(
    file: Annotated[Path | None, typer.Argument(help="What `portalbus backup` wrote.", show_default=False)] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="The database was put back by other means: only do what follows.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Replace what the database holds without asking.")] = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Put a backup in the place of the ledger, and tell it what was sent since, so that nothing is sent twice.

    Workers, relay and the other processes have to be stopped before; Kafka, the registry and PostgreSQL have to run.
    Start the processes afterwards: the workers read the lanes on from where the backup was made.

    \b
      portalbus backup --out ledger.dump      every night
      portalbus restore ledger.dump --yes     put it back
      portalbus restore --settle              after PostgreSQL's own point-in-time recovery, or a replica's promotion
    """
    from portalbus.infra.backup import put_back, settle_restored

    if (file is None) is not settle:
        raise Ended(USAGE, "give the file of a backup, or --settle when the database was put back by other means")
    needed = ("bootstrap", "registry_url", "database_url")
    where = addresses(home, needed, bootstrap=bootstrap, registry_url=registry_url, database_url=database_url)
    if file is not None:
        if not file.is_file():
            raise Ended(USAGE, f"{file} is no file")
        if not yes:
            typer.confirm("Replace everything that the ledger's database holds?", abort=True)
        put_back(where.database_url, file)
    first, after = settle_restored(where.database_url, where.bootstrap, where.registry_url)
    console().print(
        f"✓ the ledger stands before position {first}; what was sent up to {after - 1} is not sent again."
        " Start the processes of the bus now.",
    )
