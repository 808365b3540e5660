"""Nobody who runs for long waits without an end: for a lock, for a statement, or for a server that is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from portalbus.infra.stack import Endpoints
from portalbus.streams import casework_process, relay, warning_process
from portalbus.streams.ledger.database import BOUNDED, WORKER_OPTIONS, connect
from portalbus.streams.reading.pool import connection_arguments

HALF_A_MINUTE_MS = 30_000


@pytest.mark.parametrize(
    "options",
    [WORKER_OPTIONS, relay.OPTIONS, casework_process.OPTIONS, warning_process.OPTIONS, BOUNDED],
    ids=["worker and watch", "relay", "casework", "early warning", "alerting, webhooks and connectors"],
)
def test_a_session_bounds_its_locks_and_statements(endpoints: Endpoints, options: str) -> None:
    with connect(endpoints.database_url, application="test", options=options) as connection:
        shown = [connection.execute(f"show {name}").fetchone() for name in ("lock_timeout", "statement_timeout")]
    assert ("0",) not in shown


@pytest.mark.parametrize(
    "opened",
    [
        lambda url: connect(url, application="test"),
        lambda url: psycopg.connect(url, **connection_arguments("test")),
    ],
    ids=["those who write", "those who read"],
)
def test_a_server_that_is_gone_without_a_word_is_noticed_within_half_a_minute(
    endpoints: Endpoints, opened: Callable[[str], psycopg.Connection[Any]]
) -> None:
    with (
        opened(endpoints.database_url) as connection,
        closing(socket.socket(fileno=os.dup(connection.fileno()))) as tcp,
    ):
        unanswered = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        idle, every, count = (
            tcp.getsockopt(socket.IPPROTO_TCP, name)
            for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
    assert 0 < unanswered <= HALF_A_MINUTE_MS
    assert (idle + every * count) * 1_000 <= HALF_A_MINUTE_MS
