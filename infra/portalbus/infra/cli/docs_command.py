"""`portalbus docs build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, USAGE, Ended
from portalbus.infra.cli.options import console

app = typer.Typer(
    help="The documentation as a site that is read without a network.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def docs() -> None:
    """The documentation as a site that is read without a network."""


@app.command("build", epilog=EPILOG)
def build(
    out: Annotated[Path, typer.Option("--out", help="Folder of the site.")],
    source: Annotated[Path, typer.Option("--source", help="Folder with the written pages.")] = Path("docs"),
    database: Annotated[
        str | None,
        typer.Option("--database", help="Ledger of a running bus: who sends and receives what, as measured there."),
    ] = None,
) -> None:
    """Write catalogue, rules, metrics, AsyncAPI, OpenAPI and the written pages; open index.html in a browser."""
    from portalbus.infra.docs import site
    from portalbus.infra.docs.measured import measure
    from portalbus.schemas.topics import CANONICAL

    if not source.is_dir():
        raise Ended(USAGE, f"{source} is no folder: name that of the written pages with --source")
    written = site.build(out, source, measure(database, tuple(CANONICAL)) if database else None)
    console(stderr=True).print(f"{len(written)} files in {out}")
