"""The portal for asyncio: the same methods, awaited."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from portalbus.producers.portal import Portal

if TYPE_CHECKING:
    from portalbus.schemas.models import Verdict

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 16
"""Publishes that wait for the disk together share one sync; more threads than this gain nothing."""


def _awaited(method: Callable[Concatenate[Portal, P], R]) -> Callable[Concatenate[AsyncPortal, P], Awaitable[R]]:
    """The same method, run in a thread, because it may wait for the disk."""

    @functools.wraps(method)
    async def call(self: AsyncPortal, /, *args: P.args, **kwargs: P.kwargs) -> R:
        work = functools.partial(method, self.portal, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    return call


class AsyncPortal:
    """A `Portal` whose methods are awaited; takes the same arguments.

    A publish that was cancelled may have been stored all the same: give it an `event_id` to retry it without harm.
    """

    def __init__(self, agency: str, portal: str = "www", **settings: Any) -> None:
        """See `Portal`."""
        self.portal = Portal(agency, portal, **settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="portalbus-publish")

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """See `Portal.from_env`."""
        made = cls.__new__(cls)
        made.portal = Portal.from_env(**overrides)
        made._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="portalbus-publish")
        return made

    publish = _awaited(Portal.publish)
    publish_many = _awaited(Portal.publish_many)
    publish_json = _awaited(Portal.publish_json)
    publish_cloudevent = _awaited(Portal.publish_cloudevent)
    flush = _awaited(Portal.flush)
    status = _awaited(Portal.status)
    verdict_of = _awaited(Portal.verdict_of)
    wait_for_verdict = _awaited(Portal.wait_for_verdict)
    undeliverable = _awaited(Portal.undeliverable)
    redrive = _awaited(Portal.redrive)
    discard = _awaited(Portal.discard)

    async def start(self) -> Self:
        """See `Portal.start`."""
        await self._run(self.portal.start)
        return self

    async def verdicts(self, event_id: str | None = None, since: datetime | None = None) -> AsyncIterator[Verdict]:
        """See `Portal.verdicts`."""
        for verdict in await self._run(lambda: list(self.portal.verdicts(event_id, since))):
            yield verdict

    async def close(self, timeout: float | None = None) -> None:
        """See `Portal.close`."""
        await self._run(lambda: self.portal.close(timeout))
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
