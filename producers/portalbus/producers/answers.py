"""Answers to the centre that wait in the outbox: records for the lane that are no events of the portal."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from portalbus.schemas.models import STATEMENTS, SourceManifest, SourceStatement
from portalbus.schemas.notices import DigestRequested

Queued = SourceStatement | DigestRequested
"""What may wait in the queue: an answer, or a question whose answer is looked up when it is sent. To look it up may
take a while, and nobody could publish while it were done in the transaction of the one who heard the question.
"""

QUEUED: dict[str, type[Queued]] = {**STATEMENTS, DigestRequested.event_name: DigestRequested}


class Answer(NamedTuple):
    """One answer; `record` is None for the source's manifest, which is made when it is sent."""

    number: int
    record: Queued | None


def answer(connection: sqlite3.Connection, record: Queued) -> None:
    """Queues a record for the lane; it is sent once, in order, after the open transaction, also after a restart."""
    connection.execute(
        "insert into answer (record, value) values (?, ?)", (type(record).__name__, record.model_dump_json())
    )


def answer_with_manifest(connection: sqlite3.Connection) -> None:
    """Queues the source's manifest, as it will be when it is sent; once is enough while it has not been."""
    connection.execute(
        "insert into answer (record, value) select ?, null where not exists (select 1 from answer where value is null)",
        (SourceManifest.__name__,),
    )


def next_answers(connection: sqlite3.Connection, rows: int) -> list[Answer]:
    """The oldest answers that were not sent yet."""
    found = connection.execute("select number, record, value from answer order by number limit ?", (rows,))
    return [
        Answer(number, None if value is None else QUEUED[record].model_validate_json(value))
        for number, record, value in found
    ]


def answers_sent(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Takes answers that arrived out of the queue."""
    connection.executemany("delete from answer where number = ?", [(number,) for number in numbers])
