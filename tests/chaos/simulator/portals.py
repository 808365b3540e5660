"""Portals of the simulation: the product's own outbox and delivery, on a disk and a clock that may fail them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID

from fastavro import parse_schema

from bus_events import SCHEMA_IDS
from portalbus.producers.backlog import Backlog
from portalbus.producers.centre_reader import CentreReader
from portalbus.producers.database import Database
from portalbus.producers.delivery import Delivery
from portalbus.producers.draft import Drafter
from portalbus.producers.high_water import HighWater
from portalbus.producers.lane_records import LaneRecords
from portalbus.producers.outbox import Outbox
from portalbus.producers.receipt import Receipt
from portalbus.producers.repair import repair_outbox
from portalbus.producers.settings import Bounds, Settings
from portalbus.producers.shipping import Shipping, ShippingBroken
from portalbus.producers.source_row import known_source
from portalbus.producers.verdicts import VerdictKeeper
from portalbus.schemas import avro_files
from portalbus.schemas.errors import OutboxDamaged
from portalbus.schemas.models import Payload
from portalbus.schemas.topics import verdicts_of
from portalbus.streams.judgement.gaps import Place
from simulator.broker import CENTRE_SCHEMAS, Committed, SimLaneWriter
from simulator.clock import SimClock
from simulator.disk import Disk

CENTRE_WRITERS = {number: (name, parse_schema(avro_files.current(name).raw)) for name, number in CENTRE_SCHEMAS.items()}
KEPT = (".outbox", ".outbox-wal", ".mark")


class SimCrash(BaseException):
    """The process dies here. No `except Exception` of the product sees it, as none would see a kill."""


class Bombs:
    """Kills the process at the n-th place from now at which a kill could make a difference."""

    def __init__(self) -> None:
        self.left = 0

    def tick(self) -> None:
        """One such place."""
        if self.left:
            self.left -= 1
            if not self.left:
                raise SimCrash

    @contextmanager
    def laid(self) -> Iterator[None]:
        """The places: around each commit to a file, around each raise of a mark."""
        transaction, raise_to = Database.transaction, HighWater.raise_to

        @contextmanager
        def mined_transaction(database: Database) -> Iterator[Any]:
            with transaction(database) as connection:
                yield connection
                self.tick()
            self.tick()

        def mined_raise(mark: HighWater, to: Any) -> None:
            raise_to(mark, to)
            self.tick()

        with (
            patch.object(Database, "transaction", mined_transaction),
            patch.object(HighWater, "raise_to", mined_raise),
        ):
            yield


class SimIds:
    """The registry's ids, known to everybody."""

    def id_of(self, name: str, version: int | None = None) -> int:
        """The id of a record's schema."""
        return SCHEMA_IDS[name]


class _End:
    """Stands where a consumer is asked where a topic ends."""

    def __init__(self, end: int) -> None:
        self._end = end

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        """First and next offset."""
        return 0, self._end


class Heard:
    """A message as a consumer hands it over."""

    def __init__(self, offset: int, message: Committed) -> None:
        self._offset, self._message = offset, message

    def error(self) -> None:
        """There is none."""

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._message.key

    def value(self) -> bytes:
        return self._message.value

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self._message.headers.items())


class SimPortal:
    """One portal: an application that publishes, and one process that does it, when it is alive."""

    def __init__(self, source: str, root: Path, disk: Disk, clock: SimClock) -> None:
        self.source = source
        agency, portal = self.agency, self.portal = source.split("/")
        self.folder = root / self.source.replace("/", ".")
        self.folder.mkdir()
        self.off = timedelta()
        self.alive = False
        self.repairs = 0
        self.keeps_verdicts = portal == "www"
        self._disk, self._clock = disk, clock
        self._settings = Settings(agency, portal, "broker", "http://registry", self.folder)
        self._drafter = Drafter(agency, portal)
        self.writer: SimLaneWriter | None = None

    def start(self) -> None:
        """The process starts; a damaged outbox is repaired first, as its message says."""
        with self._clock.on_machine(self.off):
            self._disk.renamed()
            self.outbox = self._new_outbox()
            try:
                self.outbox.open()
            except OutboxDamaged:
                self.repair()
            self._begin_delivery()
        self.alive = True

    def _new_outbox(self) -> Outbox:
        return Outbox(self.folder, self.agency, self.portal, Bounds(free_disk=0))

    def repair(self) -> None:
        """`portalbus outbox repair`."""
        self.outbox.close()
        self.repairs += 1
        repair_outbox(self.folder, self.agency, self.portal)
        self._disk.renamed()
        self.outbox = self._new_outbox()
        self.outbox.open()

    def _begin_delivery(self) -> None:
        keeper = VerdictKeeper(verdicts_of(self.agency), None) if self.keeps_verdicts else None
        self._reader = CentreReader(self._settings, self.outbox, keeper)
        self._reader._schemas._writers.update(CENTRE_WRITERS)
        self._heard = self.outbox.second_database()
        self._places: tuple[int, int] | None = None
        self.delivery = Delivery(self._settings, self.outbox, self._reader)
        self.delivery._records = LaneRecords(self._settings, SimIds())  # type: ignore[arg-type]
        self.delivery._backlog = self.backlog = Backlog(self.outbox)
        self._new_producer()

    def _new_producer(self) -> None:
        """As `Delivery._one_producer` begins."""
        self.writer = SimLaneWriter(self._settings, f"lane.{self.agency}", self.delivery._on_error)
        self.shipping = Shipping(
            self.backlog,
            self.writer,  # type: ignore[arg-type]
            self.delivery._records,
            suspects=self.delivery._suspects,
            on_success=self.delivery._say_recovered,
        )

    def publish(self, said: Iterable[tuple[Payload, str]]) -> list[Receipt]:
        """`Portal.publish_many`: what it returns is promised. Each payload comes with its event id."""
        with self._clock.on_machine(self.off):
            return self.outbox.append([self._drafter.draft(payload, event_id=name) for payload, name in said])

    def listen(self, said: Sequence[Committed], count: int) -> int:
        """Hears the next of what the centre has `said` to the agency, as the centre reader does."""
        with self._clock.on_machine(self.off):
            if self._places is None:
                self._places = self._reader._places(self._heard, _End(len(said)))  # type: ignore[arg-type]
            notices_from, start = self._places
            first = max(start, 0)  # below zero is Kafka's word for the beginning
            heard = [Heard(first + n, message) for n, message in enumerate(said[first : first + count])]
            self._reader._take(self._heard, heard, notices_from)  # type: ignore[arg-type]
            self._places = (notices_from, first + len(heard))
        return len(heard)

    def deliver(self) -> str:
        """One round of the delivery thread; says how it ended."""
        assert self.writer is not None
        with self._clock.on_machine(self.off):
            self.delivery._wake.set()  # there is no time to rest here
            try:
                self.delivery._step(self.backlog, self.shipping)
            except ShippingBroken as broken:
                self.delivery._suspects = broken.suspects
                self.writer.close()
                self.shipping.finish()
                self._new_producer()
                return "broken"
            except OutboxDamaged as error:
                self.delivery._say_damaged(str(error))
                raise
        return "done"

    @property
    def undelivered(self) -> int:
        """What waits for delivery: events, events that are to be sent again, answers."""
        with self.outbox.reading() as connection:
            row = known_source(connection)
            (more,) = connection.execute(
                "select (select count(*) from resend) + (select count(*) from answer)"
            ).fetchone()
        return int(more) + row.undelivered

    def stored(self) -> dict[int, str]:
        """Event ids in the outbox by sequence."""
        rows = self.outbox.events(1, 2**62)
        return {row.sequence: row.event_id.hex() for row in rows}

    def stored_events(self) -> dict[Place, str]:
        """Event ids in the outbox, by their places in the order of this source."""
        with self.outbox.reading() as connection:
            epoch = known_source(connection).epoch
        return {Place(epoch, sequence): str(UUID(event_id)) for sequence, event_id in self.stored().items()}

    # ---- ends ----------------------------------------------------------------------------------------------------

    def die(self, random: Random, *, power: bool = False) -> None:
        """kill -9, or a power cut."""
        if self.writer is not None:
            self.writer.give_up()
        self._disk.kill(self.folder, self._let_go)
        if power:
            self._disk.cut_power(self.folder, random)
        self.alive, self.writer = False, None

    def _let_go(self) -> None:
        for database in (self._heard, self.backlog.database, self.outbox._database):
            database.close()
        self.delivery._mark.close()
        self.outbox.mark.close()

    # ---- backups -------------------------------------------------------------------------------------------------

    def back_up(self, to: Path) -> None:
        """Copies the folder as it is."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for file in self.folder.iterdir():
            if file.suffix in KEPT:
                shutil.copyfile(file, to / file.name)

    def restore(self, backup: Path) -> None:
        """Puts a copy of the database back beside the newer mark; the process is dead."""
        for file in self.folder.iterdir():
            if file.suffix in (".outbox", ".outbox-wal", ".outbox-shm"):
                file.unlink()
        for file in backup.iterdir():
            if file.suffix != ".mark":
                shutil.copyfile(file, self.folder / file.name)


@contextmanager
def on_disk(disk: Disk) -> Iterator[None]:
    """What the mark brings to the disk is heard by this disk."""
    sync = HighWater.sync

    def heard(mark: HighWater) -> None:
        sync(mark)
        if mark.path.exists():
            disk.mark_synced(mark.path)

    with patch.object(HighWater, "sync", heard):
        yield
