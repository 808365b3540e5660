"""`portalbus gateway serve`, and `portalbus gateway keys add|list|revoke`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark
from portalbus.infra.cli.options import Bootstrap, Home, Json, RegistryUrl, addresses, agency_code, console, home_folder

if TYPE_CHECKING:
    from portalbus.connectors.gateway.keys import ApiKey

app = typer.Typer(
    help="The HTTP gateway: portals of any technology publish CloudEvents and read their verdicts.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys_app = typer.Typer(
    help="API keys: who may publish for which agency.", epilog=EPILOG, no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(keys_app, name="keys")

State = Annotated[
    Path | None,
    typer.Option(
        help="The gateway's own folder on a local disk. [env: PORTALBUS_GATEWAY_STATE; default: gateway/ in --home]",
        envvar="PORTALBUS_GATEWAY_STATE",
        show_envvar=False,
        show_default=False,
    ),
]


@app.command("serve", epilog=EPILOG)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8091,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; for HTTPS.", show_default=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file; for HTTPS.", show_default=False)] = None,
    plain_http: Annotated[
        bool,
        typer.Option("--plain-http", help="Allow HTTP on other than loopback addresses: keys travel in the clear."),
    ] = False,
    trusted_proxies: Annotated[
        str,
        typer.Option(
            help="Addresses and networks whose X-Forwarded-For is believed, by commas.",
            envvar="PORTALBUS_TRUSTED_PROXIES",
        ),
    ] = "127.0.0.1",
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Port to serve /metrics on; nowhere without it.",
            envvar="PORTALBUS_METRICS_PORT",
            show_default=False,
        ),
    ] = None,
    events_per_second: Annotated[
        float, typer.Option(min=0.01, help="What a key may publish, unless it has a rate of its own.")
    ] = 100.0,
    state: State = None,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; then every open source says good-bye.

    \b
      portalbus gateway keys add --agency H26 --portal www
      portalbus gateway serve

    The description of the addresses is at /docs. Kafka's login comes from PORTALBUS_KAFKA_….
    """
    from portalbus.connectors.gateway.serve import CannotServe
    from portalbus.connectors.gateway.serve import serve as serve_gateway
    from portalbus.connectors.gateway.settings import Settings
    from portalbus.connectors.web.logs import log_as_json
    from portalbus.connectors.web.proxies import proxies_of
    from portalbus.schemas.kafka_settings import kafka_from_env

    try:
        proxies = proxies_of(trusted_proxies)
    except ValueError as error:
        raise Ended(USAGE, str(error)) from None
    where = addresses(home, ("bootstrap", "registry_url"), bootstrap=bootstrap, registry_url=registry_url)
    settings = Settings(
        bootstrap=where.bootstrap,
        registry_url=where.registry_url,
        state=_folder(state, home),
        kafka=kafka_from_env(),
        host=host,
        port=port,
        tls_certificate=str(tls_certificate or ""),
        tls_key=str(tls_key or ""),
        trusted_proxies=proxies,
        metrics_port=metrics_port,
        events_per_second=events_per_second,
    )
    log_as_json()
    try:
        serve_gateway(settings, plain_http=plain_http)
    except CannotServe as error:
        raise Ended(USAGE, str(error)) from None


@keys_app.command("add", epilog=EPILOG)
def add(
    agency: Annotated[str, typer.Option(help="The agency that the key speaks for, such as H26.")],
    portal: Annotated[
        str | None,
        typer.Option(help="Its portal, such as www; without it, any portal of the agency.", show_default=False),
    ] = None,
    note: Annotated[str, typer.Option(help="Who has the key, for the list.")] = "",
    events_per_second: Annotated[
        float | None, typer.Option(help="What it may publish; without it, what the gateway allows.", show_default=False)
    ] = None,
    json_: Json = False,
    state: State = None,
    home: Home = None,
) -> None:
    """Make a key. It is printed once, and works at once, also in a gateway that runs."""
    from portalbus.connectors.gateway.keys import add_key
    from portalbus.schemas.directory import directory
    from portalbus.schemas.errors import AgencyUnknown

    code = agency_code(agency)
    try:
        directory().agency(code, date.today())
    except AgencyUnknown as error:
        raise Ended(USAGE, str(error)) from None
    with _keys(state, home) as connection:
        try:
            key = add_key(connection, code, portal, note=note, events_per_second=events_per_second)
        except ValueError as error:
            raise Ended(USAGE, str(error)) from None
    if json_:
        typer.echo(json.dumps({"key": key, "agency": code, "portal": portal}))
        return
    console().print(mark(True), f"a key for {code}/{portal or '*'}, shown this once:")
    typer.echo(key)


@keys_app.command("list", epilog=EPILOG)
def list_(json_: Json = False, state: State = None, home: Home = None) -> None:
    """List the keys, without their secrets."""
    from portalbus.connectors.gateway.keys import list_keys

    with _keys(state, home) as connection:
        found = list_keys(connection)
    if json_:
        typer.echo(json.dumps([asdict(key) for key in found], indent=2, ensure_ascii=False, default=_plain))
    elif not found:
        console().print("there are no keys: portalbus gateway keys add --agency H26")
    else:
        _show(found)


@keys_app.command("revoke", epilog=EPILOG)
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key: the part behind pbk_.")],
    state: State = None,
    home: Home = None,
) -> None:
    """Take a key out of use for good, at once."""
    from portalbus.connectors.gateway.keys import revoke_key

    with _keys(state, home) as connection:
        if not revoke_key(connection, key_id):
            raise Ended(NO, f"no key {key_id} is in use: see `portalbus gateway keys list`")
    console().print(f"{key_id} is revoked")


def _folder(state: Path | None, home: Path | None) -> Path:
    return state if state is not None else home_folder(home) / "gateway"


@contextmanager
def _keys(state: Path | None, home: Path | None) -> Iterator[sqlite3.Connection]:
    from portalbus.connectors.gateway.database import KEYS, open_database

    connection = open_database(_folder(state, home) / "keys.sqlite", KEYS)
    try:
        yield connection
    finally:
        connection.close()


def _show(found: list[ApiKey]) -> None:
    from rich.table import Table

    table = Table("", "id", "for", "events/s", "made", "revoked", "note", box=None, header_style="bold")
    for key in found:
        rate = "" if key.events_per_second is None else f"{key.events_per_second:g}"
        revoked = "" if key.revoked_at is None else _time(key.revoked_at)
        whose, made = f"{key.agency}/{key.portal or '*'}", _time(key.created_at)
        table.add_row(mark(not key.revoked_at), key.id, whose, rate, made, revoked, key.note)
    console().print(table)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
