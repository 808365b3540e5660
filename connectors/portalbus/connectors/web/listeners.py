"""Who listens to what is read once: each has a queue of its own, and one that does not keep up is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class TooManyListeners(Exception):
    """No further listener is taken."""


class Listener(Generic[T]):
    """One open page or program. Once cut off it hears nothing more: it comes back with what it has heard last."""

    def __init__(self, queue_length: int) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(queue_length)

    @property
    def has_heard_all(self) -> bool:
        """True when nothing waits for it."""
        return self._queue.empty()

    async def next(self, within_s: float | None = None) -> T | None:
        """What it is told next; None once it is cut off. Raises TimeoutError when nothing is told within the time."""
        async with asyncio.timeout(within_s):
            return await self._queue.get()

    def tell(self, item: T) -> None:
        """Puts something into its queue, or cuts it off when that is full."""
        if self._queue.full():
            self.cut_off()
        else:
            self._queue.put_nowait(item)

    def cut_off(self) -> None:
        """What it has not heard yet it is not told."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    @contextmanager
    def until(self, ending: anyio.Event) -> Iterator[None]:
        """Cuts it off when something ends: the program, or the session of who looks."""
        watching = asyncio.create_task(self._cut_off_at(ending))
        try:
            yield
        finally:
            watching.cancel()

    async def _cut_off_at(self, ending: anyio.Event) -> None:
        await ending.wait()
        self.cut_off()


class Listeners(Generic[T]):
    """All who listen to the same; true while there are any."""

    def __init__(self, most: int, queue_length: int) -> None:
        self._most = most
        self._queue_length = queue_length
        self._all: set[Listener[T]] = set()

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def has_room(self) -> bool:
        """True while a further one is taken."""
        return len(self._all) < self._most

    @contextmanager
    def listening(self, ending: anyio.Event) -> Iterator[Listener[T]]:
        """A listener, until `ending`. Raises TooManyListeners."""
        if not self.has_room:
            raise TooManyListeners
        listener = Listener[T](self._queue_length)
        self._all.add(listener)
        try:
            with listener.until(ending):
                yield listener
        finally:
            self._all.discard(listener)

    def tell(self, item: T) -> None:
        """Tells all of them."""
        for listener in self._all:
            listener.tell(item)

    def cut_all_off(self) -> None:
        """They come back and begin anew."""
        for listener in self._all:
            listener.cut_off()
