"""One source at the gateway: an SDK outbox on this disk, its delivery, and the requests that wait for the broker."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import count

from portalbus.connectors.gateway.problems import Refusal
from portalbus.producers.canaries import Canaries
from portalbus.producers.centre_reader import CentreReader
from portalbus.producers.delivery import Delivery
from portalbus.producers.draft import Draft
from portalbus.producers.outbox import Outbox
from portalbus.producers.receipt import Receipt
from portalbus.producers.settings import Settings
from portalbus.producers.stored_event import id_bytes
from portalbus.producers.verdicts import VerdictKeeper
from portalbus.schemas.errors import EventRefused, OutboxDamaged, OutboxFull, PortalbusError
from portalbus.schemas.topics import verdicts_of

MOST_TOGETHER = 500
"""Drafts of waiting requests that go to the disk in one transaction."""
STOP_S = 3.0
TICK_S = 0.25
"""How often waiting requests are looked at: a timer for each would cost more than the rest of the waiting."""
RETRY_S = "5"

Outcome = Receipt | EventRefused


@dataclass(slots=True, eq=False)
class _Request:
    """The drafts of one request, and what is told of them once the broker has them."""

    drafts: Sequence[Draft]
    done: asyncio.Future[list[Outcome]]
    due: float
    outcomes: list[Outcome]


class Source:
    """Publishes for one portal. Made and used in the event loop; `open` and `close` block, and run in a thread."""

    def __init__(self, settings: Settings, disk: Executor, patience_s: float) -> None:
        self.settings = settings
        self.outbox = Outbox(settings.outbox, settings.agency, settings.portal, settings.bounds)
        self.used_at = time.monotonic()
        self.readers = 0
        self._disk = disk
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._line: list[_Request] = []
        self._writing: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, int, _Request]] = []
        self._numbers = count()
        self._live: set[_Request] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._delivered = 0
        self._last = 0
        self._clean = True
        self._bus_away = False
        self._delivery: Delivery | None = None
        self._reader: CentreReader | None = None

    def open(self) -> None:
        """Opens the outbox and begins delivery. Raises OutboxDamaged, OutboxUnavailable."""
        row = self.outbox.source_row()
        self._delivered, self._last = row.delivered_sequence, row.last_sequence
        self._clean = not self.outbox.stuck_between(1, row.last_sequence)
        keeper = VerdictKeeper(verdicts_of(self.settings.agency), None)
        canaries = Canaries(self.settings, self.outbox)
        self._reader = CentreReader(self.settings, self.outbox, keeper, canaries)
        self._delivery = Delivery(
            self.settings, self.outbox, self._reader, canaries, self._settled_in_thread, service="gateway"
        )
        self._delivery.start()

    def close(self) -> bool:
        """Says good-bye, and lets go of the outbox; False when something in it still waits to be delivered."""
        if self._delivery is not None:
            self._delivery.stop(STOP_S)
        try:
            return self.outbox.source_row().undelivered == 0
        except PortalbusError:
            return False
        finally:
            self.outbox.close()

    @property
    def undelivered(self) -> int:
        """Events that the broker has not acknowledged."""
        return max(self._last - self._delivered, 0)

    @property
    def idle_s(self) -> float:
        """For how long nobody has used it; 0 while somebody waits, reads, or something is to be delivered."""
        busy = self._live or self.readers or self.undelivered
        return 0.0 if busy else time.monotonic() - self.used_at

    @property
    def _damage(self) -> str | None:
        """What the centre said that contradicts the outbox."""
        return self._reader.damage() if self._reader is not None else None

    async def take(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Stores the drafts and waits until the broker has acknowledged them: a receipt, or a refusal, each.

        Raises Refusal when the broker does not acknowledge in time, and PortalbusError when the disk does not work or
        the outbox is an old copy.
        """
        self.used_at = time.monotonic()
        if self._damage is not None:
            raise OutboxDamaged(self._damage)
        if self._bus_away:
            raise Refusal("gateway.bus-away", headers={"Retry-After": RETRY_S})
        request = _Request(drafts, self._loop.create_future(), self._loop.time() + self._patience_s, [])
        self._line.append(request)
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())
        self._live.add(request)
        if self._clock is None:
            self._clock = self._loop.call_later(TICK_S, self._tick)
        try:
            outcomes = await request.done
        finally:
            self._live.discard(request)
        if not self._clean:
            await self._check_taken(outcomes)
        return outcomes

    async def _write(self) -> None:
        """Puts waiting requests on the disk, as many together as there are; one sync for all of them."""
        try:
            while self._line:
                group = self._next_group()
                try:
                    found = await self._loop.run_in_executor(self._disk, self._store, [one.drafts for one in group])
                except Exception as error:
                    for request in group:
                        if not request.done.done():
                            request.done.set_exception(error)
                    continue
                if self._delivery is not None:
                    self._delivery.wake()
                for request, outcomes in zip(group, found, strict=True):
                    self._await_broker(request, outcomes)
        finally:
            self._writing = None

    def _next_group(self) -> list[_Request]:
        size = taken = 0
        for request in self._line:
            size += len(request.drafts)
            if taken and size > MOST_TOGETHER:
                break
            taken += 1
        group, self._line = self._line[:taken], self._line[taken:]
        return group

    def _store(self, works: Sequence[Sequence[Draft]]) -> list[list[Outcome] | PortalbusError]:
        """In a thread. All at once, or one by one when something among them is refused."""
        try:
            receipts = iter(self.outbox.append([draft for drafts in works for draft in drafts]))
        except (EventRefused, OutboxFull):
            return [self._store_one_by_one(drafts) for drafts in works]
        return [[next(receipts) for _ in drafts] for drafts in works]

    def _store_one_by_one(self, drafts: Sequence[Draft]) -> list[Outcome] | PortalbusError:
        outcomes: list[Outcome] = []
        for draft in drafts:
            try:
                outcomes += self.outbox.append([draft])
            except EventRefused as refused:
                outcomes.append(refused)
            except PortalbusError as error:
                return error
        return outcomes

    def _await_broker(self, request: _Request, outcomes: list[Outcome] | PortalbusError) -> None:
        if isinstance(outcomes, PortalbusError):
            if not request.done.done():
                request.done.set_exception(outcomes)
            return
        last = max((one.sequence for one in outcomes if isinstance(one, Receipt)), default=0)
        self._last = max(self._last, last)
        request.outcomes = outcomes
        if last > self._delivered:
            heapq.heappush(self._waiting, (last, next(self._numbers), request))
        elif not request.done.done():
            request.done.set_result(outcomes)

    def _tick(self) -> None:
        """Tells those that have waited too long; until the broker answers again, others need not wait at all.

        When the centre knows more events than the outbox gave, nothing will be delivered from it: nobody waits.
        """
        now = self._loop.time()
        if self._damage is not None:
            for request in [one for one in self._live if not one.done.done()]:
                request.done.set_exception(OutboxDamaged(self._damage))
        for request in [one for one in self._live if one.due <= now and not one.done.done()]:
            self._bus_away = self.undelivered > 0
            request.done.set_exception(Refusal("gateway.not-acknowledged", headers={"Retry-After": RETRY_S}))
        self._clock = self._loop.call_later(TICK_S, self._tick) if self._live else None

    def _settled_in_thread(self, sequence: int, clean: bool) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settled, sequence, clean)

    def _settled(self, sequence: int, clean: bool) -> None:
        self._delivered = max(self._delivered, sequence)
        self._last = max(self._last, sequence)
        self._clean = self._clean and clean
        self._bus_away = False
        while self._waiting and self._waiting[0][0] <= self._delivered:
            request = heapq.heappop(self._waiting)[2]
            if not request.done.done():
                request.done.set_result(request.outcomes)

    async def _check_taken(self, outcomes: Sequence[Outcome]) -> None:
        """Something in this outbox was refused by the broker for good: none of these may be among it."""
        sequences = [one.sequence for one in outcomes if isinstance(one, Receipt)]
        stuck = await self._loop.run_in_executor(self._disk, self._stuck, sequences)
        if stuck:
            raise Refusal("gateway.refused-by-bus", headers={"Retry-After": "60"})

    def _stuck(self, sequences: Sequence[int]) -> bool:
        return any(self.outbox.stuck_between(sequence, sequence) for sequence in sequences)

    def verdicts_after(self, cursor: int, limit: int, event_id: str | None) -> list[tuple[int, str]]:
        """In a thread: verdicts behind a cursor as JSON, oldest first, each with the cursor behind it."""
        about = id_bytes(event_id) if event_id else None
        with self.outbox.reading() as connection:
            rows: list[tuple[int, str]] = connection.execute(
                "select offset, value from verdict where offset > ?1 and (?2 is null or event_id = ?2)"
                " order by offset limit ?3",
                (cursor, about, limit),
            ).fetchall()
        return rows

    def last_verdict(self) -> int:
        """In a thread: the cursor behind the newest verdict, -1 when there is none."""
        with self.outbox.reading() as connection:
            (offset,) = connection.execute("select coalesce(max(offset), -1) from verdict").fetchone()
        return int(offset)
