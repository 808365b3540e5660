"""What the relay's command does, under SQLAlchemy (`python -m portalbus.producers.sql_outbox`) and Django alike."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from portalbus.producers.intents.binding import take_over
from portalbus.producers.intents.intent_table import IntentTable
from portalbus.producers.intents.relay import IntentRelay
from portalbus.producers.outbox import Outbox
from portalbus.schemas.errors import PortalbusError

OK, NO = 0, 1
Print = Callable[[str], object]


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommands; without one the relay runs."""
    commands = parser.add_subparsers(dest="what", title="commands", metavar="COMMAND")
    commands.add_parser("run", help="move committed events to the bus until stopped (the default)")
    commands.add_parser("status", help="count the events of each state; exit status 1 when some are parked")
    commands.add_parser("list", help="list parked events, why each was parked, and how many wait behind it")
    redrive = commands.add_parser("redrive", help="move the parked and held events of a key again, in order")
    redrive.add_argument("key", help="as `list` shows it: H26/ct-15-2026, H26-2026-000123")
    discard = commands.add_parser("discard", help="give up one parked event; those behind it go on")
    discard.add_argument("event_id", help="as `list` shows it")
    commands.add_parser(
        "take-over", help="let this machine's outbox go on for one that is lost; stop all relays before"
    )


def run_command(
    options: Namespace,
    table: Callable[[], IntentTable],
    relay: Callable[[], IntentRelay],
    say: Print,
) -> int:
    """Does what was asked for and returns the exit status."""
    try:
        if options.what in (None, "run"):
            return _run(relay(), say)
        if options.what == "take-over":
            return _take_over(table(), relay(), say)
        if options.what == "status":
            return _status(table(), say)
        if options.what == "list":
            return _list(table(), say)
        if options.what == "redrive":
            return _redrive(table(), options.key, say)
        return _discard(table(), options.event_id, say)
    except PortalbusError as error:
        say(str(error))
        return NO


def _run(relay: IntentRelay, say: Print) -> int:
    settings = relay.portal.settings
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
    relay.check()
    say(f"relaying {settings.source} by way of {settings.outbox} to {settings.bootstrap}")
    try:
        relay.run()
    finally:
        relay.close()
    return OK


def _take_over(table: IntentTable, relay: IntentRelay, say: Print) -> int:
    settings = relay.portal.settings
    outbox = Outbox(settings.outbox, settings.agency, settings.portal, settings.bounds)
    try:
        with table.turn() as rows:
            epoch = take_over(rows, outbox)
    finally:
        outbox.close()
        relay.portal.close(0)
    say(f"epoch {epoch} of {settings.source} begins in {settings.outbox}")
    return OK


def _status(table: IntentTable, say: Print) -> int:
    counts = table.counts()
    since = f", the oldest since {counts.oldest_waiting:%Y-%m-%d %H:%M:%S} UTC" if counts.oldest_waiting else ""
    say(
        f"{table.source}: {counts.waiting} waiting{since}, {counts.parked} parked, {counts.held} held behind them,"
        f" {counts.stored} on their way to the broker, {counts.done} done"
    )
    return NO if counts.parked else OK


def _list(table: IntentTable, say: Print) -> int:
    for intent in table.parked():
        behind = f"{intent.held} held behind it" if intent.held else "none behind it"
        say(f"{intent.event_id} {intent.event_type} {intent.key}, {behind}, since {intent.since:%Y-%m-%d %H:%M} UTC")
        say(f"    {intent.reason}")
    return OK


def _redrive(table: IntentTable, key: str, say: Print) -> int:
    count = table.redrive(key)
    say(f"{count} events of {key} are moved again" if count else f"no event of {key} is parked")
    return OK if count else NO


def _discard(table: IntentTable, event_id: str, say: Print) -> int:
    done = table.discard(event_id)
    say(f"{event_id} is given up" if done else f"no parked event has the id {event_id}")
    return OK if done else NO
