"""What a source does when the centre addresses it: one handler for each kind of notice.

A handler runs in the transaction of the outbox that remembers the notice as heard, in the process that delivers. It
changes what the delivery will send: it marks events to be sent again, or queues an answer (`answers.py`). It must be
quick, and right when the same notice comes twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from portalbus.producers.answers import answer, answer_with_manifest
from portalbus.producers.backlog import resend
from portalbus.producers.settings import Settings
from portalbus.producers.source_row import known_source
from portalbus.schemas.notices import DigestRequested, ResendRequested


class Hearing(NamedTuple):
    """What a handler works with: the outbox, in an open transaction, and whose it is."""

    connection: sqlite3.Connection
    settings: Settings


Handler = Callable[[Any, Hearing], None]


def resend_requested(notice: ResendRequested, hearing: Hearing) -> None:
    """Sends the range again, as far as it is kept; a manifest says what is not: an older epoch, or events let go of."""
    row = known_source(hearing.connection)
    first, last = notice.first, min(notice.last, row.delivered_sequence)
    if notice.epoch == row.epoch and last < first:
        return  # not delivered yet: it comes by itself
    if notice.epoch == row.epoch:
        resend(hearing.connection, first, last)
        (kept,) = hearing.connection.execute(
            "select count(*) from event where sequence between ? and ?", (first, last)
        ).fetchone()
        if kept == last - first + 1:
            return
    answer_with_manifest(hearing.connection)


def digest_requested(notice: DigestRequested, hearing: Hearing) -> None:
    """Has the delivery say what lies in the bucket."""
    answer(hearing.connection, notice)


HANDLERS: Mapping[str, Handler] = {"ResendRequested": resend_requested, "DigestRequested": digest_requested}
"""By the name of the notice's Avro record; a notice that is not here is passed over."""
