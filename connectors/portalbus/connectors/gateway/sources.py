"""The sources of a gateway: opened when their portals speak, closed when they have been quiet for long."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import structlog

from portalbus.connectors.gateway.problems import Refusal
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.gateway.source import Source
from portalbus.producers import settings as producers
from portalbus.schemas.errors import PortalbusError

log = structlog.get_logger(__name__)

DISK_THREADS = 8
CLOSE_THREADS = 64
LOOK_S = 5.0
SPARED_S = 60.0
"""A source that was used a moment ago is not closed to make room for another."""
RETRY_S = "30"

Place = tuple[str, str]


class Sources:
    """All sources of one gateway, by agency and portal."""

    def __init__(self, settings: Settings, memory: sqlite3.Connection) -> None:
        self._settings = settings
        self._memory = memory
        self._disk = ThreadPoolExecutor(DISK_THREADS, "gateway-disk")
        self._notes = ThreadPoolExecutor(1, "gateway-notes")
        self._open: dict[Place, asyncio.Task[Source]] = {}
        self._closing: dict[Place, asyncio.Task[None]] = {}

    @property
    def disk(self) -> ThreadPoolExecutor:
        """Threads for whatever waits for the disk."""
        return self._disk

    def opened(self) -> Iterator[Source]:
        """Those that are open now."""
        for task in self._open.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                yield task.result()

    async def get(self, agency: str, portal: str, *, bound: bool) -> Source:
        """The source of a portal, open. `bound`: its key can be used for this portal alone, so it need not be counted.

        Raises Refusal when there are too many, PortalbusError when its outbox cannot be used.
        """
        place = (agency, portal)
        task = self._open.get(place)
        if task is None:
            self._check_room()
            task = self._open[place] = asyncio.create_task(self._begin(place, bound))
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._open.get(place) is task and (task.cancelled() or task.exception()):
                del self._open[place]
            raise

    async def resume(self) -> None:
        """Opens the sources that were open when this gateway last ended without a good-bye."""
        for agency, portal in await self._note("select agency, portal from open_source"):
            try:
                await self.get(agency, portal, bound=True)
            except (PortalbusError, Refusal) as error:
                log.warning("gateway.source-not-opened", source=f"{agency}/{portal}", error=str(error))

    async def tidy(self) -> None:
        """Closes what has been idle for long, again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for source in [one for one in self.opened() if one.idle_s > self._settings.idle_s]:
                await self._end(source)

    async def close(self) -> None:
        """Lets every source say good-bye."""
        left = list(self.opened())
        for task in self._open.values():
            task.cancel()
        with ThreadPoolExecutor(CLOSE_THREADS, "gateway-closing") as threads:
            loop = asyncio.get_running_loop()
            ended = await asyncio.gather(*(loop.run_in_executor(threads, one.close) for one in left))
        for source, empty in zip(left, ended, strict=True):
            if empty:
                await self._forget(source)
        self._notes.shutdown()
        self._disk.shutdown()

    async def _begin(self, place: Place, bound: bool) -> Source:
        agency, portal = place
        folder = self._settings.outboxes / agency
        if (closing := self._closing.get(place)) is not None:
            await asyncio.wait([closing])
        settings = producers.Settings(
            agency=agency,
            portal=portal,
            bootstrap=self._settings.bootstrap,
            registry_url=self._settings.registry_url,
            outbox=folder,
            heartbeat=self._settings.heartbeat_s,
            canary=self._settings.canary_s,
            verdicts=True,
            kafka=self._settings.kafka,
        )
        source = Source(settings, self._disk, self._settings.acknowledge_s)
        loop = asyncio.get_running_loop()
        if not bound and not source.outbox.path.exists():
            known = await loop.run_in_executor(self._disk, lambda: sum(1 for _ in folder.glob("*.outbox")))
            if known >= self._settings.most_portals:
                raise Refusal("gateway.too-many-portals", {"bound": str(self._settings.most_portals)})
        await self._note("insert or ignore into open_source values (?, ?)", *place)
        await loop.run_in_executor(self._disk, source.open)
        log.info("gateway.source-opened", source=settings.source)
        return source

    def _end(self, source: Source) -> asyncio.Task[None]:
        """Closes a source; from now on whoever asks for it waits for that, and opens it anew."""
        place = (source.settings.agency, source.settings.portal)
        del self._open[place]
        task = self._closing[place] = asyncio.create_task(self._close_one(source))
        task.add_done_callback(lambda _: self._closing.pop(place, None))
        return task

    async def _close_one(self, source: Source) -> None:
        if await asyncio.get_running_loop().run_in_executor(self._disk, source.close):
            await self._forget(source)
        log.info("gateway.source-closed", source=source.settings.source)

    def _check_room(self) -> None:
        if len(self._open) < self._settings.most_sources:
            return
        idle = max(self.opened(), key=lambda one: one.idle_s, default=None)
        if idle is None or idle.idle_s < SPARED_S:
            raise Refusal("gateway.too-many-sources", headers={"Retry-After": RETRY_S})
        self._end(idle)

    async def _forget(self, source: Source) -> None:
        place = (source.settings.agency, source.settings.portal)
        await self._note("delete from open_source where agency = ? and portal = ?", *place)

    async def _note(self, statement: str, *values: str) -> list[tuple[str, str]]:
        return await asyncio.get_running_loop().run_in_executor(
            self._notes, lambda: self._memory.execute(statement, values).fetchall()
        )
