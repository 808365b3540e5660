"""The steps of the fold: what each judging transaction was given, written in that transaction.

The lanes hold the records, but not the order in which lanes were read against each other, nor the moments at which a
timer found something over, nor what an operator decided. These do, so that a replay is a function of lanes and steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from sys import maxsize
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.law.limits import Limits
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item

WRITE = """
with known as (select id from ledger.judging where version = %(version)s and bounds = %(bounds)s::jsonb),
     made as (insert into ledger.judging (version, bounds) select %(version)s, %(bounds)s::jsonb
              where not exists (select from known) returning id)
insert into ledger.step (position, after, kind, told, at, judging)
select %(position)s, %(after)s, %(kind)s, %(told)s::jsonb, %(at)s, id
from (select * from known union all select * from made) one"""

IN_USE = """
select version, bounds from ledger.judging where id = (
    select judging from ledger.step where kind in ('records', 'expiry', 'holds') order by id desc limit 1)"""
REVIEW_TOLD = "select lasts from ledger.review"


class LedgerNewer(PortalbusError):
    """A newer version has written this ledger: only that version, or a later one, knows what it says."""


class StepKind(StrEnum):
    """What a step was given: records, or what is done when no record comes."""

    RECORDS = "records"  # told: [[agency, first offset, offset after the last], …]
    EXPIRY = "expiry"  # told: {agency: lane time up to which its lane was heard, …}; once {}: up to `at`, all of them
    HOLDS = "holds"  # told: [[agency, lane time up to which its lane was heard], …]
    REDRIVE = "redrive"  # told: [[agency, lane offset], …] of the parked records that were decided
    DISCARD = "discard"  # the same
    CLOSING = "closing"  # told: [agency, portal, epoch, first, last] of what was given up as missing
    BLOCKING = "blocking"  # told: [agency, portal, "blocked" or "active"]: whether a source may speak from then on
    RELEASE = "release"  # told: [key, …] that were damaged and are whole again


class Run(NamedTuple):
    """Records of one lane that were judged one after the other."""

    agency: str
    first: int
    after: int


class Told(NamedTuple):
    """What a step was given, as it is written."""

    kind: StepKind
    what: Any


def records_told(items: Iterable[Item]) -> Told:
    """These records, in this order."""
    runs: list[list[Any]] = []
    for item in items:
        agency, offset = item.record.agency, item.record.offset
        if runs and runs[-1][0] == agency and runs[-1][2] == offset:
            runs[-1][2] = offset + 1
        else:
            runs.append([agency, offset, offset + 1])
    return Told(StepKind.RECORDS, runs)


def expiry_told(heard_until: Mapping[str, datetime]) -> Told:
    """The time of whoever waited too long was up, by what was heard of these lanes."""
    return Told(StepKind.EXPIRY, {agency: now.isoformat() for agency, now in sorted(heard_until.items())})


def holds_told(heard_until: Mapping[str, datetime]) -> Told:
    """The holds of these lanes were over, heard up to these lane times."""
    return Told(StepKind.HOLDS, [[agency, now.isoformat()] for agency, now in heard_until.items()])


def decided_told(action: str, places: Sequence[tuple[str, int]]) -> Told:
    """An operator's decision about parked records: `redrive` or `discard`, and what it came to something for."""
    return Told(StepKind(action), [list(place) for place in places])


def closing_told(agency: str, portal: str, epoch: int, first: int, last: int) -> Told:
    """An operator gave up what was missing of a source in this range."""
    return Told(StepKind.CLOSING, [agency, portal, epoch, first, last])


def blocking_told(agency: str, portal: str, status: str) -> Told:
    """An operator blocked a source, or let it speak again."""
    return Told(StepKind.BLOCKING, [agency, portal, status])


def release_told(keys: Sequence[str]) -> Told:
    """What these keys stand for was damaged and is whole again: who waits for them is judged anew."""
    return Told(StepKind.RELEASE, list(keys))


def write_step(
    connection: Connection[Any], told: Told, position: int, after: int, at: datetime, bounds: Bounds
) -> None:
    """Writes down a step in its own transaction, which holds the ledger's order; nothing when nothing was told."""
    if not told.what:
        return
    connection.execute(
        WRITE,
        {
            "position": position,
            "after": after,
            "kind": told.kind.value,
            "told": json.dumps(told.what),
            "at": at,
            "version": program_version(),
            "bounds": written_bounds(bounds),
        },
    )


def bounds_in_use(connection: Connection[Any]) -> Bounds:
    """The bounds that the workers judge under: those of their last step, with the review that they told since.

    Whoever judges beside them, an operator's command or the console, was given no settings of theirs. As usual where
    nothing was judged yet. Raises LedgerNewer.
    """
    row = connection.execute(IN_USE).fetchone()
    bounds = bounds_judged_under(*row) if row else Bounds()
    told = connection.execute(REVIEW_TOLD).fetchone()
    return replace(bounds, review=told[0]) if told else bounds


@lru_cache(maxsize=1)
def program_version() -> str:
    """The version of this program."""
    return version("portalbus")


@lru_cache(maxsize=8)
def written_bounds(bounds: Bounds) -> str:
    """Bounds as they are written: durations in seconds, limits as they tell themselves."""
    said = {
        name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in asdict(bounds).items()
    }
    return json.dumps({**said, "limits": bounds.limits.told})


def bounds_judged_under(by: str, written: Mapping[str, Any]) -> Bounds:
    """Bounds that the version `by` has written. Raises LedgerNewer where this one does not know all of them."""
    try:
        return read_bounds(written)
    except TypeError as error:
        raise LedgerNewer(
            f"version {by} has judged under bounds that this one, {program_version()}, does not know"
            f" ({', '.join(sorted(set(written) - {*asdict(Bounds())}))}): use version {by} or a later one"
        ) from error


def read_bounds(written: Mapping[str, Any]) -> Bounds:
    """Bounds as they were written; what is not said is as usual, as shipped, or bounded nothing yet.

    Raises TypeError for a name that is none of theirs.
    """
    usual = asdict(Bounds())
    written = {"held_bytes_per_source": maxsize, "bytes_at_once": maxsize, **written}
    said: dict[str, Any] = {
        name: timedelta(seconds=float(value)) if isinstance(usual.get(name), timedelta) else value
        for name, value in written.items()
    }
    said["limits"] = Limits.parse(written["limits"]) if "limits" in written else Limits.read()
    return Bounds(**said)
