"""Which of several webhook processes sends: whoever has the lock. A second one stands by.

Should a frozen sender whose session was ended wake up, it writes nothing more, because the term is another's then.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from psycopg import Connection

from portalbus.connectors.push import store
from portalbus.connectors.push.store import Superseded
from portalbus.connectors.push.subscriptions import Subscription
from portalbus.streams.ledger.database import Session
from portalbus.streams.ledger.leading import end_silent_leader, try_to_lead
from portalbus.streams.ledger.locks import AdvisoryLock

log = structlog.get_logger(__name__)

LOCK = AdvisoryLock.WEBHOOKS_LEADER
PAUSE_S = 1.0


class Leadership:
    """The lock, and the term that goes with it. `session` is used for nothing else, in autocommit mode."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._term = 0

    def become_leader(self, stop: threading.Event) -> int | None:
        """Waits until this process may send, and gives its term; None when it was told to stop before."""
        waits = False
        while not stop.is_set():
            if self._session.transact(lambda connection: try_to_lead(connection, LOCK)):
                self._term = self._session.transact(store.take_over)
                return self._term
            if not waits:
                log.info("webhooks.standing-by")
                waits = True
            self._session.transact(lambda connection: end_silent_leader(connection, LOCK))
            stop.wait(PAUSE_S)
        return None

    def look(self) -> list[Subscription]:
        """The subscriptions, and a sign of life. Raises Superseded."""
        return self._session.transact(self._look)

    def close(self) -> None:
        """Lets another process send."""
        self._session.close()

    def _look(self, connection: Connection[Any]) -> list[Subscription]:
        # A connection that was lost has lost the lock: it is taken again, unless somebody else has it.
        row = connection.execute("select term from push.sender").fetchone()
        if not try_to_lead(connection, LOCK) or row is None or row[0] != self._term:
            raise Superseded("another process sends the webhooks now")
        return store.subscriptions(connection)
