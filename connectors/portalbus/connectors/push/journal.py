"""The thread that writes down what became of deliveries, many in one transaction, and reads what is to be sent."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from psycopg import Connection

from portalbus.connectors.push import store
from portalbus.connectors.push.messages import Message
from portalbus.connectors.push.receiver_queue import Waiting
from portalbus.connectors.push.store import Body, Delivered, Undelivered
from portalbus.streams.ledger.database import Session

T = TypeVar("T")

MOST_TOGETHER = 500
GATHER_S = 0.02
"""Rest before results are written: a transaction costs the same for one as for many."""
SWEEP_EVERY_S = 30.0
REMEMBERED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Question:
    """Something to read, after everything that was written before it."""

    read: Callable[[Connection[Any]], Any]
    answer: Future[Any]


class Journal:
    """Writes results in the order given; everything holds the term, so a process that was replaced raises Superseded.

    `failed` is called from its thread with what ended it.
    """

    def __init__(self, session: Session, term: int, failed: Callable[[BaseException], None]) -> None:
        self._session = session
        self._term = term
        self._failed = failed
        self._todo: queue.SimpleQueue[Delivered | Undelivered | _Question | None] = queue.SimpleQueue()
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="webhooks-journal", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def write(self, result: Delivered | Undelivered) -> None:
        """Writes a result down, soon. What is not written when the process dies is sent again."""
        self._todo.put(result)

    async def waiting(self, subscription_id: str) -> list[Waiting]:
        """What a subscription has not got, as written down."""
        return await self._ask(lambda connection: store.waiting(connection, subscription_id))

    async def body(self, number: int) -> Body | None:
        """What to post for a message; None when it is not kept any more."""
        with self._lock:
            if (known := self._bodies.get(number)) is not None:
                return known
        found = await self._ask(lambda connection: store.bodies(connection, [number]))
        return found.get(number)

    def remember(self, messages: Iterable[Message]) -> None:
        """Keeps the bodies of messages at hand that are about to be sent: the newest ones, within bounds."""
        with self._lock:
            for message in messages:
                body = Body(message.webhook_id, message.concerns.event_type, message.body, message.whole)
                if message.number not in self._bodies:
                    self._bytes += _size(body)
                    self._bodies[message.number] = body
            while self._bytes > REMEMBERED_BYTES:
                self._bytes -= _size(self._bodies.popitem(last=False)[1])

    def close(self, within: float) -> None:
        """Writes what is left and ends."""
        self._todo.put(None)
        if self._thread.is_alive():
            self._thread.join(within)

    async def _ask(self, read: Callable[[Connection[Any]], T]) -> T:
        answer: Future[T] = Future()
        self._todo.put(_Question(read, answer))
        return await asyncio.wrap_future(answer)

    def _run(self) -> None:
        try:
            sweep_at = time.monotonic() + SWEEP_EVERY_S
            while self._take_turn():
                if time.monotonic() >= sweep_at:
                    self._transact(store.sweep)
                    sweep_at = time.monotonic() + SWEEP_EVERY_S
        except BaseException as error:
            self._failed(error)
        finally:
            self._session.close()

    def _take_turn(self) -> bool:
        """Writes what has gathered; False when it was told to end."""
        results: list[Delivered | Undelivered] = []
        questions: list[_Question] = []
        goes_on = True
        for item in self._gathered():
            if item is None:
                goes_on = False
            elif isinstance(item, _Question):
                questions.append(item)
            else:
                results.append(item)
        if results:
            self._transact(lambda connection: store.write_results(connection, results))
        for question in questions:
            if question.answer.set_running_or_notify_cancel():
                question.answer.set_result(self._session.transact(question.read))
        return goes_on

    def _gathered(self) -> Iterable[Delivered | Undelivered | _Question | None]:
        try:
            first = self._todo.get(timeout=1.0)
            yield first
            if isinstance(first, Delivered | Undelivered):
                time.sleep(GATHER_S)
            for _ in range(MOST_TOGETHER):
                yield self._todo.get_nowait()
        except queue.Empty:
            return

    def _transact(self, work: Callable[[Connection[Any]], T]) -> T:
        def held(connection: Connection[Any]) -> T:
            store.hold(connection, self._term)
            return work(connection)

        return self._session.transact(held)


def _size(body: Body) -> int:
    return len(body.body) + len(body.whole or "") + 200
