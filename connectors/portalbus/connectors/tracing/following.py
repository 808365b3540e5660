"""Follows whatever an id or an address names, to its readers: for `portalbus trace` and the console's page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from psycopg import Connection

from portalbus.connectors.central.feeds.addresses import DIRECTIVES, FeedAddress, feeds_of
from portalbus.connectors.central.feeds.desk import FeedDesk
from portalbus.connectors.central.feeds.feed import directive_entry_id, directive_of_entry, event_entry_id
from portalbus.connectors.push.outcomes import outcomes_of
from portalbus.streams.reading.accepted import accepted_rows
from portalbus.streams.reading.tracing import EntryOfFeed, Trace, TracedEvent, Tracer, event_id_in

MOST_ENTRIES = 100
OF_A_NAME = 5
"""The version of the UUIDs that feeds give to directives: they are made from the key, and do not lead back to it."""


def follow(connection: Connection[Any], asked: str) -> Trace | None:
    """The trace of what an id or an address names, with the feeds and webhooks that carried it; None when unknown.

    The id that feeds give to a directive is looked for among all keys, which takes a second or two for a million.
    """
    tracer = Tracer(connection)
    found = tracer.trace(asked)
    if found is None and (key := _directive_named(tracer, asked)) is not None:
        found = tracer.trace(key)
    if found is None:
        return None
    events = found.events
    positions = {judgement.position: event.event_id for event in events for judgement in event.judgements}
    feeds = {row.position: feeds_of(row) for row in accepted_rows(connection, list(positions))}
    webhooks = outcomes_of(connection, positions)

    def carried(event: TracedEvent) -> TracedEvent:
        judgements = tuple(
            replace(one, feeds=feeds.get(one.position, ()), webhooks=webhooks.get(one.position, ()))
            for one in event.judgements
        )
        return replace(event, judgements=judgements)

    return replace(found, asked=asked, events=tuple(map(carried, events)))


async def follow_feed(desk: FeedDesk, asked: str, address: FeedAddress) -> Trace:
    """What a feed holds now: its entries with what each is traced by."""
    if address.event_type == DIRECTIVES:
        rows, _ = await desk.directives(address.agency, address.language, MOST_ENTRIES)
        entries = tuple(
            EntryOfFeed(directive_entry_id(row.key), row.key, f"{row.number} {row.title}".strip(), row.changed_at)
            for row in rows
        )
    else:
        steps = await desk.feedback(address.event_type, address.agency, MOST_ENTRIES)
        entries = tuple(
            EntryOfFeed(event_entry_id(row.event_id), row.event_id, f"{row.event_type} {row.agency}", row.received_at)
            for row in steps
        )
    return Trace(asked, "feed", None, (), entries=entries)


def _directive_named(tracer: Tracer, asked: str) -> str | None:
    named = event_id_in(asked)
    if named is None or named.version != OF_A_NAME:
        return None
    return directive_of_entry(named, tracer.directive_keys())
