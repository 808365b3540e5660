"""Parked records whose schema was not known when they came, and is now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from psycopg import Connection

from portalbus.streams.decoding.contents import UNKNOWN_SCHEMA

WHO = "worker"
"""Who decides when it is the bus itself."""

READABLE = f"""
select p.agency, p.lane_offset, substring(p.value from 2 for 4) from ledger.parked p
where p.state = 'parked' and p.reason = '{UNKNOWN_SCHEMA}' and substring(p.value from 2 for 4) = any(%s::bytea[])
  and not exists (select from ledger.parking_decision d
    where d.agency = p.agency and d.lane_offset = p.lane_offset and d.decided_by = '{WHO}')
order by p.agency, p.lane_offset limit %s"""
"""One whose body could not be read even so is left to the operator."""


class Readable(NamedTuple):
    """A parked record, and the schema id that it names."""

    agency: str
    lane_offset: int
    schema_id: int

    @property
    def place(self) -> tuple[str, int]:
        """Where it lies."""
        return self.agency, self.lane_offset


def readable_now(connection: Connection[Any], schema_ids: Iterable[int], limit: int) -> list[Readable]:
    """The first of those that were parked because their schema was not known, and name one of these."""
    named = [schema_id.to_bytes(4, "big") for schema_id in schema_ids]
    # Planned anew each time: with nothing parked any index looks as good, and the plan would be kept.
    found = connection.execute(READABLE, (named, limit), prepare=False)
    return [Readable(agency, lane_offset, int.from_bytes(schema_id, "big")) for agency, lane_offset, schema_id in found]
