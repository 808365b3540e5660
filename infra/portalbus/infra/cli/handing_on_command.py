"""`portalbus cases route`: cases that the rules of competence hand on by themselves."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.options import (
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    OutboxFolder,
    RegistryUrl,
    addresses,
    console,
    outbox_folder,
    quiet_logs,
)

if TYPE_CHECKING:
    from portalbus.schemas.directory import AgencyDirectory
    from portalbus.schemas.law.competence import Competence
    from portalbus.schemas.law.limits import Limits
    from portalbus.streams.casework.assigning import Speaker
    from portalbus.streams.casework.handing_on import HandedOn

    Law = tuple[Competence, AgencyDirectory, Limits]

WAIT_SECONDS = 30.0
PAUSE_SECONDS = 5.0
NOTHING = "the rules have no case to hand on"


def route(
    apply: Annotated[bool, typer.Option("--apply", help="Hand them on, and wait until that was judged.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Hand them on as they come, until Ctrl-C or SIGTERM.")] = False,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="With --watch: look every so many seconds.")] = 5.0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many at a time.")] = 100,
    outbox: OutboxFolder = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """List the cases that the rules of competence hand on by themselves, with the rule and what it saw.

    They were sent to the Government Portal, nobody took them up, and the rules of the day give them to one other body;
    what they leave to a person is in `portalbus cases undecided`. Exit status 1 when there are any, or with --apply
    when one is refused. --apply and --watch speak for the Government Portal: they need the right to write on its lane.
    """
    needs = ("database_url", "bootstrap", "registry_url") if apply or watch else ("database_url",)
    where = addresses(home, needs, database_url=database_url, bootstrap=bootstrap, registry_url=registry_url)
    law = _law()
    if not (apply or watch):
        _list(where.database_url, law, limit, as_json=json_)
        return
    from portalbus.schemas.kafka_settings import kafka_from_env
    from portalbus.streams.casework.assigning import Speaker
    from portalbus.streams.casework.handing_on import RULES

    quiet_logs()
    speaker = Speaker(
        where.bootstrap, where.registry_url, outbox_folder(outbox, home), portal=RULES, kafka=kafka_from_env()
    )
    if watch:
        _watch(where.database_url, speaker, law, limit, every, as_json=json_)
    else:
        _apply(where.database_url, speaker, law, limit, as_json=json_)


def _law() -> Law:
    """What the rules are asked with. Ends the command where an installation's file is wrong."""
    from portalbus.schemas.directory import directory
    from portalbus.schemas.law.competence import competence
    from portalbus.schemas.law.limits import limits

    for name, read in (("PORTALBUS_COMPETENCE", competence), ("PORTALBUS_LIMITS", limits)):
        try:
            read()
        except (OSError, ValueError) as error:
            raise Ended(USAGE, f"{name}: {error}") from error
    return competence(), directory(), limits()


def _list(database_url: str, law: Law, limit: int, *, as_json: bool) -> None:
    from portalbus.schemas.facts import legal_day
    from portalbus.streams.casework.handing_on import ruled
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.held import InForce

    in_force = InForce(*law, legal_day(datetime.now(UTC)))
    with connect(database_url, application="cases-route", autocommit=True) as connection:
        found = list(islice(ruled(connection, in_force), limit))
    _say(found, as_json=as_json)
    if found:
        raise Ended(NO)


def _apply(database_url: str, speaker: Speaker, law: Law, limit: int, *, as_json: bool) -> None:
    from portalbus.streams.casework.handing_on import RuleDesk
    from portalbus.streams.ledger.database import connect

    pause = threading.Event()
    with (
        connect(database_url, application="cases-route", autocommit=True) as connection,
        speaker.voice(verdicts=False) as voice,
    ):
        desk = RuleDesk(connection, voice, *law)
        handed = desk.judged(desk.hand_on(limit), WAIT_SECONDS, pause.wait)
    _say(handed, as_json=as_json)
    if any(one.is_refused for one in handed):
        raise Ended(NO)
    if unjudged := sum(one.judged is None for one in handed):
        raise Ended(
            UNREACHABLE,
            f"{unjudged} were not judged within {WAIT_SECONDS:g} s; what was not sent lies in {speaker.outbox} and goes"
            " with the next run from there, and `portalbus cases decisions` shows what was judged",
        )


def _watch(database_url: str, speaker: Speaker, law: Law, limit: int, every: float, *, as_json: bool) -> None:
    """Until a signal; a database or an outbox that is away is waited for."""
    import psycopg

    from portalbus.infra.cli.exits import say_error
    from portalbus.schemas.errors import PortalbusError
    from portalbus.streams.casework.handing_on import RuleDesk
    from portalbus.streams.ledger.database import BOUNDED, connect

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with speaker.voice(verdicts=False) as voice:
        while not stop.is_set():
            try:
                with connect(database_url, application="cases-route", options=BOUNDED, autocommit=True) as connection:
                    desk = RuleDesk(connection, voice, *law)
                    while not stop.is_set():
                        handed = desk.hand_on(limit)
                        if handed:
                            _say_each(desk.judged(handed, every, stop.wait), as_json=as_json)
                        stop.wait(every)
            except (psycopg.OperationalError, PortalbusError) as error:
                say_error(f"{type(error).__name__}: looking again in {PAUSE_SECONDS:g} s")
                stop.wait(PAUSE_SECONDS)


def _say(found: Sequence[HandedOn], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
    elif not found:
        console().print(NOTHING)
    else:
        _show(found)


def _say_each(handed: Sequence[HandedOn], *, as_json: bool) -> None:
    """One line for each, at once, so that whoever reads a log of it sees it as it happens."""
    for one in handed:
        if as_json:
            typer.echo(json.dumps(asdict(one), ensure_ascii=False))
        else:
            rules = ", ".join(one.rules)
            console().print(f"{one.case_id} → {one.to}: {rules}: {one.judged or 'not judged yet'}")


def _show(found: Sequence[HandedOn]) -> None:
    from rich.table import Table

    table = Table(
        *("case", "to", "rule", "legal basis", "field", "area", "level", "received", "judged"),
        box=None,
        header_style="bold",
    )
    for one in found:
        judged = one.judged or ("not yet" if one.event_id else "–")
        rules, basis = ", ".join(one.rules), "; ".join(one.legal_basis)
        table.add_row(
            *(one.case_id, one.to, rules, basis, one.field or "–", one.area or "–", one.level or "–", one.day, judged)
        )
    console().print(table)
