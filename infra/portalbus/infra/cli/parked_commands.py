"""`portalbus parked list|show|redrive|discard|allow`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, USAGE, Ended
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    DatabaseUrl,
    Home,
    Json,
    Lang,
    RegistryUrl,
    addresses,
    agency_code,
    console,
    decider,
    in_language,
    one_agency,
    quiet_logs,
)
from portalbus.infra.cli.parked_text import (
    SHOWN_BYTES,
    plain,
    print_groups,
    print_lines,
    print_record,
    text_of,
    time_of,
)

if TYPE_CHECKING:
    from psycopg import Connection

    from portalbus.schemas.codec import WriterSchemas
    from portalbus.streams.ledger.decider import Decider
    from portalbus.streams.parking.asking import Filters, KeptRecord
    from portalbus.streams.parking.deciding import Outcome
    from portalbus.streams.parking.dissecting import Dissection

PLACE = re.compile(r"^(?:lane\.)?(?P<agency>[A-Y][0-9]{2}(?:\.[A-Z0-9]+)*)@(?P<offset>[0-9]{1,18})$", re.IGNORECASE)
LONGEST_ALLOWANCE_HOURS = 72.0

app = typer.Typer(
    help="Records that could not be read: look at them, judge them again, or set them aside for good.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


class State(StrEnum):
    """What became of a parked record."""

    PARKED = "parked"
    REDRIVEN = "redriven"
    DISCARDED = "discarded"
    ALL = "all"


Places = Annotated[list[str] | None, typer.Argument(metavar="[RECORD]...", help="Records, each as H26@17.")]
Agency = Annotated[str | None, typer.Option(help="Those on the lane of this agency.", show_default=False)]
Reason = Annotated[str | None, typer.Option(help="Those parked by this rule.", show_default=False)]
Key = Annotated[str | None, typer.Option(help="Those of this directive or case.", show_default=False)]
Since = Annotated[
    datetime | None,
    typer.Option(
        help="Those that came since then (UTC).", show_default=False, formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
    ),
]
By = Annotated[
    str | None,
    typer.Option(help="Who decides. [env: PORTALBUS_OPERATOR; default: your login]", show_default=False),
]
Why = Annotated[str, typer.Option(help="Why; kept with each record.")]


@app.command("list", epilog=EPILOG)
def list_(
    agency: Agency = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    state: Annotated[State, typer.Option(help="What became of them.")] = State.PARKED,
    records: Annotated[bool, typer.Option("--records", help="One by one instead of in groups.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many records at most.")] = 100,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List parked records by reason: how many, when, whose, and how many events wait behind them."""
    from portalbus.streams.parking.asking import parked_groups, parked_lines

    filters = _filters(agency, reason, key, since, state)
    with _connection(home, database_url) as connection:
        found: Sequence[Any]
        found = parked_lines(connection, filters, limit) if records else parked_groups(connection, filters)
    if json_:
        typer.echo(json.dumps([plain(asdict(item)) for item in found], indent=2, ensure_ascii=False))
    elif not found:
        console().print("nothing is parked" if state is State.PARKED else "there is nothing of the kind")
    elif records:
        print_lines(found)
    else:
        print_groups(found)


@app.command("show", epilog=EPILOG)
def show(
    place: Annotated[str, typer.Argument(metavar="RECORD", help="The record, as H26@17.")],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Write its value to this file, byte for byte.", show_default=False)
    ] = None,
    lang: Lang = USUAL_LANGUAGE,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Show a parked record: why, headers, bytes, how far it reads and where it breaks, and what was decided."""
    from portalbus.schemas.findings import Finding
    from portalbus.streams.parking.asking import held_behind, kept_record, parking_decisions

    agency, offset = _place(place)
    with _connection(home, database_url) as connection:
        kept = kept_record(connection, agency, offset)
        if kept is None:
            raise Ended(NO, _never_parked(agency, offset))
        decisions = parking_decisions(connection, agency, offset)
        behind = held_behind(connection, kept)
    if raw is not None:
        raw.write_bytes(kept.value or b"")
    dissection = _dissection(kept, home, registry_url)
    fields = {
        **{name: value for name, value in asdict(kept).items() if name not in ("value", "record_key", "headers")},
        "message": in_language(Finding(kept.reason).message, lang),
        "record_key": text_of(kept.record_key),
        "headers": [[name, text_of(value)] for name, value in kept.record().headers],
        "bytes": len(kept.value or b""),
        "hex": (kept.value or b"")[:SHOWN_BYTES].hex(),
        "reads": asdict(dissection) if dissection else None,
        "waiting_behind": [{"lane_offset": number, "until": until} for number, until in behind],
        "decisions": [asdict(decision) for decision in decisions],
    }
    if json_:
        typer.echo(json.dumps(plain(fields), indent=2, ensure_ascii=False, default=str))
    else:
        print_record(kept, fields, dissection)


@app.command("redrive", epilog=EPILOG)
def redrive(
    why: Why,
    places: Places = None,
    agency: Agency = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    by: By = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Judge parked records again, now that a schema, a rule or the decoder is mended; in the order of their lanes.

    \b
      portalbus parked redrive H26@17 --why "encoder of the portal mended"
      portalbus parked redrive --reason record.schema-not-allowed --why "schema registered"

    Exit status 1 when one of them still cannot be read and stays parked, or was decided already or never parked.
    """
    wanted = _wanted(places, agency, reason, key, since)
    writers = _writers(home, registry_url)
    outcomes = _decide("redrive", wanted, _decider(by, why), writers, home, database_url)
    _report(outcomes, json_, named=bool(places))
    missed = _missed(wanted, outcomes, home, database_url)
    if any(outcome.parked for outcome in outcomes):
        missed.append("some still cannot be read, and stay parked")
    if missed:
        raise Ended(NO, "; ".join(missed))


@app.command("discard", epilog=EPILOG)
def discard(
    why: Why,
    places: Places = None,
    agency: Agency = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    by: By = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Set parked records aside for good: each gets its final verdict, and its bytes stay in the ledger.

    \b
      portalbus parked discard H26@17 --why "test data of the portal"

    Exit status 1 when one of them was decided already, or never parked.
    """
    wanted = _wanted(places, agency, reason, key, since)
    writers = _writers(home, registry_url)  # what waits behind them is judged too
    outcomes = _decide("discard", wanted, _decider(by, why), writers, home, database_url)
    _report(outcomes, json_, named=bool(places))
    if missed := _missed(wanted, outcomes, home, database_url):
        raise Ended(NO, "; ".join(missed))


@app.command("allow", epilog=EPILOG)
def allow(
    why: Why,
    hours: Annotated[float, typer.Option(min=0.01, max=LONGEST_ALLOWANCE_HOURS, help="For so long.")] = 1.0,
    by: By = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Let records be parked although they are more than the limit; what is parked meanwhile counts no longer.

    A worker that the limit stopped goes on within seconds. When a bad deployment is to blame, put the one before back
    instead: then nothing is parked at all.
    """
    from portalbus.streams.ledger.parking_stop import allow as allow_parking

    decider = _decider(by, why)
    with _connection(home, database_url) as connection:
        until = allow_parking(connection, decider, timedelta(hours=hours))
    if json_:
        typer.echo(json.dumps({"until": until.isoformat(), "by": decider.who, "why": decider.why}))
    else:
        console().print(f"no limit until {time_of(until)}; noted for {decider.who}")


def _decide(
    action: str,
    wanted: Filters | list[tuple[str, int]],
    decider: Decider,
    writers: WriterSchemas,
    home: Path | None,
    database_url: str | None,
) -> list[Outcome]:
    from portalbus.schemas.directory import directory
    from portalbus.streams.ledger.database import WORKER_OPTIONS
    from portalbus.streams.parking.asking import Filters, parked_places
    from portalbus.streams.parking.deciding import Parking

    with _connection(home, database_url, WORKER_OPTIONS) as connection:
        places = parked_places(connection, wanted) if isinstance(wanted, Filters) else wanted
        parking = Parking(connection, writers, directory())
        return list((parking.redrive if action == "redrive" else parking.discard)(places, decider))


def _missed(
    wanted: Filters | list[tuple[str, int]], outcomes: Sequence[Outcome], home: Path | None, database_url: str | None
) -> list[str]:
    """What became of the records that were named and of which nothing could be decided now, in words."""
    from portalbus.streams.parking.asking import Filters, kept_record, parking_decisions

    decided = {(outcome.agency, outcome.lane_offset) for outcome in outcomes}
    places = [] if isinstance(wanted, Filters) else [place for place in wanted if place not in decided]
    if not places:
        return []
    said = []
    with _connection(home, database_url) as connection:
        for agency, offset in places:
            kept, decisions = kept_record(connection, agency, offset), parking_decisions(connection, agency, offset)
            if kept is None:
                said.append(_never_parked(agency, offset))
                continue
            by = f" by {decisions[-1].decided_by} at {time_of(decisions[-1].decided_at)}" if decisions else ""
            why = f" ({decisions[-1].decided_why})" if decisions else ""
            said.append(f"{agency}@{offset} was {kept.state}{by}{why}, with the verdict {kept.status} [{kept.rule}]")
    return said


def _never_parked(agency: str, offset: int) -> str:
    return f"{agency}@{offset} is not parked and never was; see `portalbus trace {agency}@{offset}`"


def _wanted(
    places: list[str] | None, agency: str | None, reason: str | None, key: str | None, since: datetime | None
) -> Filters | list[tuple[str, int]]:
    filtered = any(value is not None for value in (agency, reason, key, since))
    if bool(places) == filtered:
        raise Ended(USAGE, "name the records (H26@17 …), or say which by --agency, --reason, --key or --since")
    return [_place(place) for place in places] if places else _filters(agency, reason, key, since, State.PARKED)


def _filters(agency: str | None, reason: str | None, key: str | None, since: datetime | None, state: State) -> Filters:
    from portalbus.streams.parking.asking import Filters

    since = since.replace(tzinfo=UTC) if since is not None else None
    return Filters(one_agency(agency), reason, key, since, None if state is State.ALL else state.value)


def _place(text: str) -> tuple[str, int]:
    match = PLACE.match(text.strip())
    if match is None:
        raise Ended(USAGE, f"{text} is no place of a record: write agency@offset, such as H26@17")
    return agency_code(match["agency"]), int(match["offset"])


def _decider(by: str | None, why: str) -> Decider:
    from portalbus.streams.ledger.decider import Decider

    return Decider(*decider(by, why))


def _writers(home: Path | None, registry_url: str | None) -> WriterSchemas:
    from portalbus.schemas.registration import SchemaIds
    from portalbus.schemas.registry import SchemaRegistry

    where = addresses(home, ("registry_url",), registry_url=registry_url)
    return SchemaIds(SchemaRegistry(where.registry_url)).lane_writers()


def _dissection(kept: KeptRecord, home: Path | None, registry_url: str | None) -> Dissection | None:
    """How far the record reads; None without a registry, or when reading it would kill this process too."""
    from portalbus.infra.stack import StackError
    from portalbus.schemas.errors import PortalbusError
    from portalbus.streams.decoding.contents import DEADLY
    from portalbus.streams.decoding.decoder import Decoder
    from portalbus.streams.judgement.docket import Unreadable
    from portalbus.streams.parking.dissecting import dissect

    try:
        writers = _writers(home, registry_url)
    except (StackError, PortalbusError):
        return None
    if kept.reason == DEADLY:
        with Decoder(writers) as decoder:
            content = decoder.read([kept.value])[0]
        if isinstance(content, Unreadable) and content.rule == DEADLY:
            return None
    return dissect(kept.value, writers)


@contextmanager
def _connection(home: Path | None, database_url: str | None, options: str = "") -> Iterator[Connection[Any]]:
    from portalbus.streams.ledger.database import connect

    quiet_logs()
    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="parking", options=options, autocommit=True) as connection:
        yield connection


def _report(outcomes: Sequence[Outcome], json_: bool, *, named: bool) -> None:
    if json_:
        typer.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2, ensure_ascii=False))
        return
    if not outcomes and not named:
        console().print("nothing of the kind is parked")
    for outcome in outcomes:
        detail = f": {outcome.detail}" if outcome.detail else ""
        said = "stays parked" if outcome.parked else outcome.status
        console().print(f"{outcome.agency}@{outcome.lane_offset}  {said} [{outcome.rule}]{detail}")
