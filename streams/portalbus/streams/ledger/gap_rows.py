"""The rows of `ledger.gap`: only those that changed are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Connection

from portalbus.streams.judgement.gaps import Gap, GapState
from portalbus.streams.judgement.history import SourceState

DROP = "delete from ledger.gap where agency = %s and portal = %s and epoch = %s and first = %s"
GONE = """
update ledger.gap set state = case state when 'open' then 'gone' else state end, hold_until = null, ask_at = null
where agency = %s and portal = %s and (epoch, last) < (%s, %s) and (state = 'open' or hold_until is not null)"""
PUT = """
insert into ledger.gap (agency, portal, epoch, first, last, opened_at, missing, state, hold_until, asked, ask_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (agency, portal, epoch, first) do update set last = excluded.last, missing = excluded.missing,
    state = excluded.state, hold_until = excluded.hold_until, asked = excluded.asked, ask_at = excluded.ask_at"""


def write_gaps(connection: Connection[Any], sources: Iterable[SourceState]) -> None:
    """Writes what changed in these sources' gaps, those of a crowded source that were not loaded among them."""
    sources = list(sources)
    gone = [
        (*source.name, *source.gone_before) for source in sources if source.crowded and source.gone_before is not None
    ]
    dropped: list[tuple[Any, ...]] = []
    put: list[tuple[Any, ...]] = []
    for source in sources:
        for name in source.changed_gaps:
            gap = source.gaps.get(name)
            if gap is None:
                dropped.append((*source.name, *name))
            else:
                put.append((*source.name, *gap_row(gap)))
    with connection.cursor() as cursor:
        if gone:  # first: the rows of the gaps that were loaded say what is true of them in the end
            cursor.executemany(GONE, gone)
        if dropped:
            cursor.executemany(DROP, dropped)
        if put:
            cursor.executemany(PUT, put)


def gap_of(row: Sequence[Any]) -> Gap:
    """A gap from its columns, from epoch on."""
    epoch, first, last, opened_at, state, hold_until, asked, ask_at = row
    return Gap(epoch, first, last, opened_at, GapState(state), hold_until, asked, ask_at)


def gap_row(gap: Gap) -> tuple[Any, ...]:
    """A gap's columns, from epoch on."""
    return (
        gap.epoch,
        gap.first,
        gap.last,
        gap.opened_at,
        gap.missing,
        gap.state.value,
        gap.hold_until,
        gap.asked,
        gap.ask_at,
    )
