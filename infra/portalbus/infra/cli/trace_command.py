"""`portalbus trace`: from a portal's publish to the page, with times."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, Ended
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    Lang,
    addresses,
    console,
    in_language,
)
from portalbus.schemas.tracing import trace_id

if TYPE_CHECKING:
    from rich.tree import Tree

    from portalbus.infra.bus.addresses import Addresses
    from portalbus.streams.reading.tracing import SentOn, Trace, TracedEvent, TracedJudgement

MOST_LOOKED_UP = 40
COLOURS = {"ACCEPTED": "green", "WAITING": "yellow", "DUPLICATE": "cyan"}


def trace(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Event id, case id, public code, directive key or id, address of a page, or H26@17."
        ),
    ],
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
    database_url: DatabaseUrl = None,
    bootstrap: Bootstrap = None,
    home: Home = None,
) -> None:
    """Follow an event, a case or a directive: portal, lane, every judgement, canonical topic, page.

    \b
      portalbus trace 0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3d     an event
      portalbus trace 7GQ2M0Z4KX9A                             a case by its public code
      portalbus trace G22/ct-015-2026                          a directive by its key; its id alone does too
      portalbus trace lane.H26@17                              a record that nobody could read

    Exit status 1 when the ledger knows nothing of it.
    """
    import psycopg

    from portalbus.streams.reading.tracing import Tracer

    where = addresses(home, ("database_url",), database_url=database_url, bootstrap=bootstrap)
    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        found = Tracer(connection).trace(id_.strip())
    if found is None:
        raise Ended(
            NO, f"the ledger knows nothing of {id_}: it may still be at the portal, see `portalbus outbox status`"
        )
    found = _with_times(found, where)
    page = f"{where.central_url}/{lang.value}{found.page}" if found.page and where.central_url else None
    if json_:
        typer.echo(json.dumps(_as_json(found, page, lang), ensure_ascii=False, indent=2))
    else:
        _print(found, page, lang)


def _with_times(found: Trace, where: Addresses) -> Trace:
    from portalbus.streams.reading.kafka_times import kafka_times

    places = [place for event in found.events for judgement in event.judgements for place in judgement.sent_on]
    if not where.bootstrap or not places:
        return found
    times = kafka_times(where.bootstrap, places[:MOST_LOOKED_UP])

    def timed(judgement: TracedJudgement) -> TracedJudgement:
        return replace(judgement, sent_on=tuple(replace(place, at=times.get(place)) for place in judgement.sent_on))

    events = tuple(replace(event, judgements=tuple(timed(item) for item in event.judgements)) for event in found.events)
    return replace(found, events=events)


def _print(found: Trace, page: str | None, language: str) -> None:
    from rich.tree import Tree

    root = Tree(f"[bold]{found.kind} {found.key or found.asked}[/bold]")
    for event in found.events:
        _add_event(root, event, language)
    for kind, row in found.rows.items():
        shown = ", ".join(
            f"{name} {_shown(value)}" for name, value in row.items() if value is not None and name != "key"
        )
        root.add(f"store: {kind} {shown}")
    if page:
        root.add(f"page: {page}")
    console().print(root, soft_wrap=False)


def _add_event(root: Tree, event: TracedEvent, language: str) -> None:
    source = f"{event.agency}/{event.portal} sequence {event.sequence}" if event.portal else "source unknown"
    epoch = f" epoch {event.epoch}" if event.epoch and event.epoch > 1 else ""
    branch = root.add(f"[bold]{event.event_type or 'unreadable record'}[/bold] {event.event_id or ''} {source}{epoch}")
    if event.event_id:
        branch.add(f"trace id    {trace_id(event.event_id)}")
    before = event.occurred_at
    if event.occurred_at is not None:
        branch.add(f"occurred    {_shown(event.occurred_at)}")
    if event.published_at is not None:
        branch.add(f"published   {_shown(event.published_at)}{_later(before, event.published_at)}")
        before = event.published_at
    branch.add(
        f"in the lane {_shown(event.received_at)}{_later(before, event.received_at)}  {event.lane}@{event.lane_offset}"
    )
    before = event.received_at
    for judgement in event.judgements:
        said = f"{in_language(judgement.message, language)} {in_language(judgement.mend, language)}".rstrip()
        colour = COLOURS.get(judgement.status, "red")
        leaf = branch.add(
            f"judged      {_shown(judgement.judged_at)}{_later(before, judgement.judged_at)}"
            f"  [{colour}]{judgement.status}[/{colour}] \\[{judgement.rule}] {said}  position {judgement.position}"
        )
        for place in judgement.sent_on:
            leaf.add(_sent_on(place, judgement.judged_at))
        before = judgement.judged_at
    if event.waits_until is not None:
        branch.add(f"waits until {_shown(event.waits_until)}")
    if event.parked is not None:
        branch.add(f"parked with its bytes: {event.parked}")


def _sent_on(place: SentOn, judged_at: datetime) -> str:
    time = f"{_shown(place.at)}{_later(judged_at, place.at)}  " if place.at else ""
    return f"sent on     {time}{place.topic}[{place.partition}]@{place.offset}"


def _shown(value: object) -> str:
    return value.astimezone().isoformat(sep=" ", timespec="milliseconds") if isinstance(value, datetime) else str(value)


def _later(before: datetime | None, after: datetime) -> str:
    if before is None:
        return ""
    seconds = (after - before).total_seconds()
    if abs(seconds) < 10:
        return f"  ({seconds * 1000:+.0f} ms)"
    return f"  ({seconds:+.0f} s)" if abs(seconds) < 7200 else f"  ({seconds / 3600:+.1f} h)"


def _as_json(found: Trace, page: str | None, language: str) -> dict[str, Any]:
    fields = asdict(found)
    for event, traced in zip(fields["events"], found.events, strict=True):
        event["trace_id"] = trace_id(traced.event_id) if traced.event_id else None
        for judgement, said in zip(event["judgements"], traced.judgements, strict=True):
            judgement["message"], judgement["mend"] = (
                in_language(said.message, language),
                in_language(said.mend, language),
            )
    return _plain({**fields, "page": page})  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
