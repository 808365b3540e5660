"""Which cases belong together: one with mixed content was split into others, each with a life of its own.

Only what the body that split it received itself is linked: whoever names a child must not learn another body's codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from portalbus.streams.reading.pool import Connection

RELATIVES: LiteralString = """
    select 'child' as kind, c.case_id, c.public_code, c.owner, c.state
    from ledger.case_step s cross join lateral jsonb_array_elements_text(s.document->'children') child
    join ledger.case c on c.case_id = child and c.receiver = s.agency and c.case_id <> s.case_id
    where s.case_id = %(case_id)s and s.step = 'SPLIT'
    union all
    select 'parent', p.case_id, p.public_code, p.owner, p.state
    from ledger.case c join ledger.case_step s on s.step = 'SPLIT' and s.document->'children' ? c.case_id
        and s.agency = c.receiver and s.case_id <> c.case_id
    join ledger.case p on p.case_id = s.case_id
    where c.case_id = %(case_id)s
    order by 1 desc, 2"""


@dataclass(frozen=True, slots=True)
class Relative:
    """The case that this one is a part of (`parent`), or one that it was split into (`child`)."""

    kind: str
    case_id: str
    public_code: str
    owner: str
    state: str


async def relatives_of(connection: Connection, case_id: str) -> tuple[Relative, ...]:
    """The parent first, then the children that were received, by their ids."""
    async with connection.cursor(row_factory=class_row(Relative)) as cursor:
        await cursor.execute(RELATIVES, {"case_id": case_id})
        return tuple(await cursor.fetchall())
