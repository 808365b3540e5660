"""`portalbus trace`: from a portal's publish to the page, the feeds and the webhooks, with times."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, Ended
from portalbus.infra.cli.marks import line, styled
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

    from portalbus.connectors.central.feeds.addresses import FeedAddress
    from portalbus.infra.bus.addresses import Addresses
    from portalbus.streams.reading.tracing import SentOn, ToReceiver, Trace, TracedEvent, TracedJudgement

COLOURS = {"ACCEPTED": "green", "WAITING": "yellow", "DUPLICATE": "cyan"}


def trace(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of an event, trace, case, directive, feed entry or webhook, public code, address of a page or"
            " feed, or H26@17.",
        ),
    ],
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
    database_url: DatabaseUrl = None,
    bootstrap: Bootstrap = None,
    home: Home = None,
) -> None:
    """Follow an event, a case or a directive: portal, lane, every judgement, canonical topic, page, feeds, webhooks.

    \b
      portalbus trace 0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3d     an event
      portalbus trace 7GQ2M0Z4KX9A                             a case by its public code
      portalbus trace G22/ct-015-2026                          a directive by its key; its id alone does too
      portalbus trace https://hanoi.gov.vn/van-ban/15-ct-ubnd  a directive by its address on its own portal
      portalbus trace '/vi/feed.atom?agency=H26'               a feed: its entries, with their ids
      portalbus trace lane.H26@17                              a record that nobody could read

    Exit status 1 when the ledger knows nothing of it.
    """
    where = addresses(home, ("database_url",), database_url=database_url, bootstrap=bootstrap)
    asked = id_.strip()
    found = _found(asked, where)
    if found is None:
        from portalbus.connectors.tracing.hints import hint

        raise Ended(NO, f"the ledger knows nothing of {id_}. {in_language(hint(asked), lang)}")
    site = f"{where.central_url}/{lang.value}" if where.central_url else ""
    page = f"{site}{found.page}" if found.page and site else None
    if json_:
        typer.echo(json.dumps(_as_json(found, page, site, lang), ensure_ascii=False, indent=2))
    else:
        _print(found, page, site, lang)


def _found(asked: str, where: Addresses) -> Trace | None:
    import psycopg

    from portalbus.connectors.central.feeds.addresses import FeedAddress
    from portalbus.connectors.tracing.following import follow
    from portalbus.streams.reading.kafka_times import timed

    address = FeedAddress.read(asked)
    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        found = follow(connection, asked) if address is None else None
    if address is not None:
        return asyncio.run(_of_feed(where.database_url, asked, address))
    return timed(found, where.bootstrap) if found is not None else None


async def _of_feed(database_url: str, asked: str, address: FeedAddress) -> Trace:
    from portalbus.connectors.central.feeds.desk import FeedDesk
    from portalbus.connectors.tracing.following import follow_feed
    from portalbus.streams.reading.pool import reading_pool

    async with reading_pool(database_url, size=1, application="trace") as pool:
        return await follow_feed(FeedDesk(pool), asked, address)


def _print(found: Trace, page: str | None, site: str, language: str) -> None:
    from rich.tree import Tree

    root = Tree(styled(f"{found.kind} {found.key or found.asked}", "bold"))
    for entry in found.entries:
        root.add(f"{_shown(entry.updated)}  {entry.traced_by}  {entry.entry}  {entry.title}")
    for event in found.events:
        _add_event(root, event, site, language)
    for kind, row in found.rows.items():
        shown = ", ".join(
            f"{name} {_shown(value)}" for name, value in row.items() if value is not None and name != "key"
        )
        root.add(f"store: {kind} {shown}")
    if page:
        root.add(f"page: {page}")
    console().print(root, soft_wrap=False)


def _add_event(root: Tree, event: TracedEvent, site: str, language: str) -> None:
    source = f"{event.agency}/{event.portal} sequence {event.sequence}" if event.portal else "source unknown"
    epoch = f" epoch {event.epoch}" if event.epoch and event.epoch > 1 else ""
    branch = root.add(
        line(styled(event.event_type or "unreadable record", "bold"), f" {event.event_id or ''} {source}{epoch}")
    )
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
            line(
                f"judged      {_shown(judgement.judged_at)}{_later(before, judgement.judged_at)}  ",
                styled(judgement.status, colour),
                f" [{judgement.rule}] {said}  position {judgement.position}",
            )
        )
        for place in judgement.sent_on:
            leaf.add(_sent_on(place, judgement.judged_at))
        for feed in judgement.feeds:
            leaf.add(f"in a feed   {_shown(feed.at)}  {site}{feed.path}  {feed.entry}")
        for hook in judgement.webhooks:
            leaf.add(_webhook(hook, judgement))
        before = judgement.judged_at
    if event.waits_until is not None:
        branch.add(f"waits until {_shown(event.waits_until)}")
    if event.parked is not None:
        branch.add(f"parked with its bytes: {event.parked}")


def _sent_on(place: SentOn, judged_at: datetime) -> str:
    time = f"{_shown(place.at)}{_later(judged_at, place.at)}  " if place.at else ""
    return f"sent on     {time}{place.topic}[{place.partition}]@{place.offset}"


def _webhook(hook: ToReceiver, judgement: TracedJudgement) -> str:
    time = f"{_shown(hook.at)}{_later(judgement.judged_at, hook.at)}  " if hook.at else ""
    tries = "1 attempt" if hook.attempts == 1 else f"{hook.attempts} attempts"
    said = f"  {hook.error}" if hook.error else ""
    receiver = hook.receiver or "a receiver that was removed"
    return f"webhook     {time}{hook.state} {tries}{said}  {hook.subscription} {receiver}  {hook.webhook_id}"


def _shown(value: object) -> str:
    return value.astimezone().isoformat(sep=" ", timespec="milliseconds") if isinstance(value, datetime) else str(value)


def _later(before: datetime | None, after: datetime) -> str:
    if before is None:
        return ""
    seconds = (after - before).total_seconds()
    if abs(seconds) < 10:
        return f"  ({seconds * 1000:+.0f} ms)"
    return f"  ({seconds:+.0f} s)" if abs(seconds) < 7200 else f"  ({seconds / 3600:+.1f} h)"


def _as_json(found: Trace, page: str | None, site: str, language: str) -> dict[str, Any]:
    fields = asdict(found)
    for event, traced in zip(fields["events"], found.events, strict=True):
        event["trace_id"] = trace_id(traced.event_id) if traced.event_id else None
        for judgement, said in zip(event["judgements"], traced.judgements, strict=True):
            judgement["message"], judgement["mend"] = (
                in_language(said.message, language),
                in_language(said.mend, language),
            )
            for feed in judgement["feeds"]:
                feed["address"] = f"{site}{feed.pop('path')}"
    return _plain({**fields, "page": page})  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
