"""Whether a lane is still the topic that the ledger has read: one made anew has other events at the same offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg import Connection

OPEN = "insert into ledger.lane (agency) select unnest(%s::text[]) on conflict do nothing"
LEARN = """
update ledger.lane set topic_id = seen.topic_id
from unnest(%(agencies)s::text[], %(topic_ids)s::text[]) seen(agency, topic_id)
where lane.agency = seen.agency
  and (lane.topic_id is null or (lane.next_offset = 0 and lane.topic_id <> seen.topic_id))"""
OTHERS = """
select agency, next_offset from ledger.lane
join unnest(%(agencies)s::text[], %(topic_ids)s::text[]) seen(agency, topic_id) using (agency)
where lane.topic_id <> seen.topic_id"""


def open_lanes(connection: Connection[Any], agencies: Iterable[str]) -> None:
    """Makes sure that each of these lanes has its row."""
    connection.execute(OPEN, (sorted(agencies),))


def other_topics(connection: Connection[Any], topic_ids: Mapping[str, str]) -> dict[str, int]:
    """The agencies whose lane is another topic than the one that was read so far, with the ledger's next offset.

    `topic_ids` are Kafka's ids of the lanes as they are now, by agency; where the ledger knows none yet, it learns it.
    """
    parameters = {"agencies": list(topic_ids), "topic_ids": list(topic_ids.values())}
    open_lanes(connection, topic_ids)
    connection.execute(LEARN, parameters)
    return dict(connection.execute(OTHERS, parameters).fetchall())
