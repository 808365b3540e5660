"""Sends what is queued: one task a receiver, so that none waits for another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from portalbus.connectors.push.journal import Journal
from portalbus.connectors.push.messages import Message
from portalbus.connectors.push.posting import Posted, Poster
from portalbus.connectors.push.receiver_queue import Failure, ReceiverQueue, Waiting
from portalbus.connectors.push.retrying import Retrying
from portalbus.connectors.push.store import Body, Delivered, Undelivered
from portalbus.connectors.push.subscriptions import Subscription

log = structlog.get_logger(__name__)

LONGEST_SLEEP_S = 3_600.0
Clock = Callable[[], float]
MakePoster = Callable[[Subscription], Poster]


class Receiver:
    """One subscription's deliveries on their way."""

    def __init__(
        self, subscription: Subscription, poster: Poster, journal: Journal, retrying: Retrying, room: int
    ) -> None:
        self.subscription = subscription
        self._poster = poster
        self._journal = journal
        self._queue = ReceiverQueue(retrying, room)
        self._new = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._arrived_meanwhile: list[Waiting] | None = []
        self._task = asyncio.create_task(self._run())

    def add(self, number: int, key: str) -> None:
        """A message was queued for it."""
        delivery = Waiting(number, key)
        if self._arrived_meanwhile is not None:
            self._arrived_meanwhile.append(delivery)
            return
        self._queue.add(delivery)
        self._new.set()

    def reload(self, subscription: Subscription) -> None:
        """Somebody decided about its deliveries: what is kept counts."""
        self.subscription = subscription
        self._arrived_meanwhile = []
        self._task.cancel()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = [self._task, *self._attempts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._poster.close()

    async def _run(self) -> None:
        await self._load()
        while True:
            self._new.clear()
            now = time.time()
            while (delivery := self._queue.next(now)) is not None:
                attempt = asyncio.create_task(self._attempt(delivery.number))
                self._attempts.add(attempt)
                attempt.add_done_callback(self._attempts.discard)
            wake_at = self._queue.wake_at()
            sleep = LONGEST_SLEEP_S if wake_at is None else min(max(wake_at - now, 0.0), LONGEST_SLEEP_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(sleep):
                    await self._new.wait()

    async def _load(self) -> None:
        """What it has not got yet. What is queued meanwhile may be in both."""
        kept = await self._journal.waiting(self.subscription.id)
        last = kept[-1].number if kept else -1
        self._queue.replace([*kept, *(one for one in self._arrived_meanwhile or () if one.number > last)])
        self._arrived_meanwhile = None

    async def _attempt(self, number: int) -> None:
        body = await self._journal.body(number)
        posted = await self._post(body) if body is not None else Posted(None, Failure("its message is gone"), 0)
        now = time.time()
        if posted.failure is None:
            attempts = self._queue.delivered(number, now)
            self._journal.write(Delivered(self.subscription.id, number, attempts, now))
        else:
            stands = self._queue.failed(number, posted.failure, now, random.random())  # noqa: S311 - jitter
            self._say(posted, body, stands)
            if stands is not None:
                self._journal.write(Undelivered(self.subscription.id, replace(stands), posted.failure.what))
        self._new.set()

    async def _post(self, body: Body) -> Posted:
        to = self.subscription
        return await self._poster.post(to.secrets, body.webhook_id, body.text(to.whole), internal=to.internal)

    def _say(self, posted: Posted, body: Body | None, stands: Waiting | None) -> None:
        if stands is None or (stands.failures > 1 and not stands.given_up):
            return
        log.warning(
            "webhook.given-up" if stands.given_up else "webhook.failed",
            subscription=self.subscription.id,
            webhook_id=body.webhook_id if body else None,
            error=posted.failure.what if posted.failure else None,
            seconds=round(posted.seconds, 3),
        )


class Receivers:
    """All receivers, kept in step with the subscriptions."""

    def __init__(self, make_poster: MakePoster, journal: Journal, retrying: Retrying, room: int) -> None:
        self._make_poster = make_poster
        self._journal = journal
        self._retrying = retrying
        self._room = room
        self._receivers: dict[str, Receiver] = {}

    def hand_out(self, queued: Iterable[tuple[str, Message]]) -> None:
        """Messages were queued for these subscriptions."""
        for subscription_id, message in queued:
            # One that is not known yet loads what is queued for it when it comes.
            if (receiver := self._receivers.get(subscription_id)) is not None:
                receiver.add(message.number, message.key)

    async def keep_in_step(self, subscriptions: Sequence[Subscription]) -> None:
        """New receivers begin, removed ones end, and those that somebody decided about look anew."""
        wanted = {subscription.id: subscription for subscription in subscriptions}
        for subscription_id in self._receivers.keys() - wanted.keys():
            await self._receivers.pop(subscription_id).close()
        for subscription_id, subscription in wanted.items():
            known = self._receivers.get(subscription_id)
            if known is None:
                poster = self._make_poster(subscription)
                self._receivers[subscription_id] = Receiver(
                    subscription, poster, self._journal, self._retrying, self._room
                )
            elif known.subscription.changed != subscription.changed:
                known.reload(subscription)

    async def close(self) -> None:
        """Ends all."""
        await asyncio.gather(*(receiver.close() for receiver in self._receivers.values()))
        self._receivers = {}
