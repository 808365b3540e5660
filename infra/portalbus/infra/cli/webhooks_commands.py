"""`portalbus webhooks add|list|remove|failed|redrive|drop|test|run`."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import (
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    RegistryUrl,
    addresses,
    agency_codes,
    console,
    local_time,
)

if TYPE_CHECKING:
    from psycopg import Connection

    from portalbus.connectors.push.subscriptions import FailedDelivery, ListedSubscription

app = typer.Typer(
    help="Webhooks: post what the centre accepts to receivers, signed, each key in its order.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, such as wh_1f2e3d4c5b6a.")]
Deliveries = Annotated[
    list[str] | None, typer.Option("--delivery", help="Only the one with this webhook-id; may be repeated.")
]


@app.command("add", epilog=EPILOG)
def add(
    url: Annotated[str, typer.Argument(help="Where to post: https://…")],
    agency: Annotated[
        list[str] | None, typer.Option(help="Only what concerns this agency, such as H26; may be repeated.")
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only this event type: DirectivePublished, FeedbackReceived, FeedbackResolved, or Verdict"
            " (the verdicts on an agency's own events); may be repeated.",
        ),
    ] = None,
    lang: Annotated[
        list[str] | None, typer.Option(help="Only documents in this language, such as vi; may be repeated.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="A secret of your own, whsec_…; - reads it from standard input.")
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Also the text of feedback: for the body that handles it; needs --agency."),
    ] = False,
    internal: Annotated[
        bool, typer.Option("--internal", help="The receiver is in our own network: http and private addresses.")
    ] = False,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Add a receiver. The secret that signs what it gets is printed once.

    \b
      portalbus webhooks add https://hanoi.gov.vn/hooks/central --agency G22 --type DirectivePublished --lang vi

    It gets what is accepted from now on. Nothing is sent unless `portalbus webhooks run` runs somewhere.
    """
    from portalbus.connectors.push.signing import new_secret
    from portalbus.connectors.push.subscriptions import add_subscription
    from portalbus.connectors.push.wanted import Wanted
    from portalbus.connectors.web_addresses import AddressRefused

    given = sys.stdin.readline().strip() if secret == "-" else secret  # noqa: S105 - a dash is no secret
    key = given or new_secret()
    try:
        wanted = Wanted.of(agency_codes(agency or ()), type_ or (), lang or ())
        with _desk(home, database_url) as connection:
            made = add_subscription(
                connection, url, wanted, secret=key, whole=whole, internal=internal, created_by=getpass.getuser()
            )
    except (ValueError, AddressRefused) as error:
        raise Ended(USAGE, str(error)) from None
    shown = {} if given else {"secret": key}
    if json_:
        typer.echo(json.dumps({"id": made, "url": url, **shown}, indent=2))
        return
    console().print(mark(True), f"{made} → {url}")
    if shown:
        console().print(f"its secret, shown this once: {key}")


@app.command("list", epilog=EPILOG)
def list_(json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """List the receivers and how they are doing; exit status 1 when something failed for good."""
    from portalbus.connectors.push.subscriptions import list_subscriptions

    with _desk(home, database_url) as connection:
        found = list_subscriptions(connection)
    if json_:
        typer.echo(json.dumps([_plain_subscription(one) for one in found], indent=2, ensure_ascii=False))
    elif not found:
        console().print("nobody has subscribed")
    else:
        _show(found)
    if any(one.failed for one in found):
        raise Ended(NO)


@app.command("remove", epilog=EPILOG)
def remove(subscription: Id, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Remove a receiver, with everything that it has not got yet."""
    from portalbus.connectors.push.subscriptions import remove_subscription

    with _desk(home, database_url) as connection:
        lost = remove_subscription(connection, subscription)
    if lost is None:
        raise _unknown(subscription)
    console().print(f"{subscription} removed" + (f", {lost} deliveries with it" if lost else ""))


@app.command("failed", epilog=EPILOG)
def failed(
    subscription: Annotated[
        str | None, typer.Argument(metavar="[SUBSCRIPTION]", help="Only those of this subscription.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most.")] = 1_000,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List deliveries that were given up after 24 hours, and how many wait behind each; exit status 1 when there are
    any.

    Later deliveries of the same directive or case wait until a failed one is redriven or dropped.
    """
    from portalbus.connectors.push.subscriptions import list_failed

    with _desk(home, database_url) as connection:
        found = list_failed(connection, subscription, limit)
    if json_:
        typer.echo(json.dumps([_plain(asdict(one)) for one in found], indent=2, ensure_ascii=False))
    elif not found:
        console().print("nothing has failed")
    else:
        _show_failed(found)
    if found:
        raise Ended(NO)


@app.command("redrive", epilog=EPILOG)
def redrive(subscription: Id, delivery: Deliveries = None, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Try failed deliveries again, for another 24 hours: all of a receiver, or those with a webhook-id."""
    from portalbus.connectors.push import subscriptions

    with _desk(home, database_url) as connection:
        done = subscriptions.redrive(connection, subscription, delivery)
    if not done:
        raise Ended(NO, f"no such delivery has failed: see `portalbus webhooks failed {subscription}`")
    console().print(f"{done} deliveries go out again")


@app.command("drop", epilog=EPILOG)
def drop(
    subscription: Id,
    delivery: Annotated[list[str], typer.Option("--delivery", help="Its webhook-id; may be repeated.")],
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Give failed deliveries up for good: the receiver never gets them, and what waits behind them goes out."""
    from portalbus.connectors.push.subscriptions import drop_failed

    with _desk(home, database_url) as connection:
        done = drop_failed(connection, subscription, delivery)
    if not done:
        raise Ended(NO, f"no such delivery has failed: see `portalbus webhooks failed {subscription}`")
    console().print(f"{done} deliveries dropped")


@app.command("test", epilog=EPILOG)
def test(subscription: Id, json_: Json = False, database_url: DatabaseUrl = None, home: Home = None) -> None:
    """Post a signed message of the type portalbus.events.Test now, and tell what the receiver answered."""
    from portalbus.connectors.push.subscriptions import list_subscriptions
    from portalbus.connectors.push.testing_receiver import post_test

    with _desk(home, database_url) as connection:
        found = next((one for one in list_subscriptions(connection) if one.id == subscription), None)
    if found is None:
        raise _unknown(subscription)
    posted = post_test(found)
    error = posted.failure.what if posted.failure else None
    milliseconds = round(posted.seconds * 1_000)
    if json_:
        typer.echo(json.dumps({"status": posted.status, "error": error, "milliseconds": milliseconds}))
    elif error is None:
        console().print(mark(True), f"answered {posted.status} after {milliseconds} ms")
    if error is not None:
        raise Ended(NO, "" if json_ else f"{found.url}: {error}")


@app.command("run", epilog=EPILOG)
def run(
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Deliveries to one receiver at a time.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds for an answer.")] = 15.0,
    first_pause: Annotated[float, typer.Option(min=0.01, help="Seconds until a failed delivery is tried again.")] = 5.0,
    longest_pause: Annotated[float, typer.Option(min=0.01, help="Seconds that the growing pauses end at.")] = 3_600.0,
    give_up_after: Annotated[float, typer.Option(min=0, help="Hours after which a delivery has failed.")] = 24.0,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Send webhooks until Ctrl-C. Several may run: one sends, the others stand by."""
    from portalbus.connectors.push.process import WebhookSettings
    from portalbus.connectors.push.process import run as run_process
    from portalbus.connectors.push.retrying import Retrying
    from portalbus.streams.logging_setup import log_json

    where = addresses(
        home,
        ("bootstrap", "registry_url", "database_url"),
        bootstrap=bootstrap,
        registry_url=registry_url,
        database_url=database_url,
    )
    log_json("webhooks")
    retrying = Retrying.within(first_pause, longest_pause, give_up_after)
    settings = WebhookSettings(
        where.bootstrap, where.registry_url, where.database_url, room=parallel, timeout=timeout, retrying=retrying
    )
    status = run_process(settings)
    if status:
        raise Ended(status)


@contextmanager
def _desk(home: Path | None, database_url: str | None) -> Iterator[Connection[Any]]:
    from portalbus.connectors.push.subscriptions import open_desk

    where = addresses(home, ("database_url",), database_url=database_url)
    with open_desk(where.database_url) as connection:
        yield connection


def _unknown(subscription: str) -> Ended:
    return Ended(USAGE, f"there is no subscription {subscription}: see `portalbus webhooks list`")


def _show(found: list[ListedSubscription]) -> None:
    from rich.table import Table

    table = Table(
        "", "subscription", "to", "gets", "arrived", "queued", "failed", "last error", box=None, header_style="bold"
    )
    for one in found:
        sign = styled("●", "yellow") if one.queued and not one.failed else mark(not one.failed)
        gets = " ".join([*(one.types or ["all"]), *one.agencies, *one.languages, *(["whole"] if one.whole else [])])
        error = f"{local_time(one.last_failed_at)} {one.last_error}" if one.last_error else ""
        table.add_row(sign, one.id, one.url, gets, str(one.delivered), str(one.queued), str(one.failed), error)
    console().print(table)


def _show_failed(found: list[FailedDelivery]) -> None:
    from rich.table import Table

    table = Table(
        "subscription",
        "webhook-id",
        "type",
        "of",
        "tries",
        "given up",
        "behind",
        "error",
        box=None,
        header_style="bold",
    )
    for one in found:
        table.add_row(
            one.subscription,
            one.webhook_id,
            one.event_type,
            one.key,
            str(one.failures),
            local_time(one.given_up_at),
            str(one.behind),
            one.last_error or "",
        )
    console().print(table)


def _plain_subscription(one: ListedSubscription) -> dict[str, Any]:
    return {name: value for name, value in _plain(asdict(one)).items() if name not in ("secrets", "changed")}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
