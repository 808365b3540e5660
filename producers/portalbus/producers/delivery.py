"""The delivery thread: one per outbox over all processes, from the outbox to the lane, in order."""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

from confluent_kafka import KafkaError

from portalbus.producers import logs
from portalbus.producers.backlog import Backlog
from portalbus.producers.broker_clock import BrokerClock
from portalbus.producers.canaries import Canaries
from portalbus.producers.delivered_spans import DeliveredSpans
from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.lane_records import RECENT_DAYS, LaneRecords
from portalbus.producers.lane_writer import LaneWriter
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Settings
from portalbus.producers.shipping import OnSettled, Shipping, ShippingBroken
from portalbus.producers.trouble import in_plain_words, rank
from portalbus.schemas.errors import OutboxDamaged, PortalbusError, RegistryRefused, RegistryUnavailable
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import lane_of
from portalbus.schemas.tracing import is_traced

CANDIDATE_SECONDS = 0.5
IDLE_SECONDS = 0.05
"""How soon the deliverer sees what another process published; its own process wakes it at once."""
ANSWER_SECONDS = 0.002
FULL_MANIFEST_SECONDS = 3_600.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
CHECKPOINT_BYTES, RESTART_BYTES = 4 * 1024 * 1024, 64 * 1024 * 1024
GOOD_BYE_SECONDS = 1.0
TROUBLE_SECONDS = 10.0
"""How long an explanation stands against lesser ones: a refused login also makes the broker look away."""


class Companion(Protocol):
    """What runs beside the delivery in the process that delivers: the reading of what the centre says."""

    def begin(self, backlog: Backlog) -> None:
        """This process delivers from now on."""

    def end(self) -> None:
        """It no longer does."""

    def damage(self) -> str | None:
        """What contradicts the outbox, in one sentence."""

    def acquire(self) -> None:
        """The process is about to fork."""

    def release(self) -> None:
        """It forked, and this is the parent."""

    def leave_behind(self) -> None:
        """It forked, and this is the child."""


class Delivery:
    """Delivers one outbox from this process whenever no other process does.

    `companion` runs while this one leads. `on_settled` is called by the delivery thread with each step forward: up to
    which sequence the broker has answered, and whether it took all of it. `service` is the name in its spans.
    """

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        companion: Companion | None = None,
        canaries: Canaries | None = None,
        on_settled: OnSettled | None = None,
        *,
        service: str = "portal",
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._on_settled = on_settled
        self._canaries = canaries
        self._companion = companion
        self._topic = lane_of(settings.agency)
        self._lock = DeliveryLock(outbox.path.with_suffix(".delivery"))
        self._mark = HighWater(outbox.mark.path)
        self._ids = SchemaIds(SchemaRegistry(settings.registry_url), outbox.path.with_suffix(".schema-ids.json"))
        self._records = LaneRecords(settings, self._ids)
        self._spans = DeliveredSpans(settings.source, service) if is_traced() else None
        self._files = threading.RLock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._backlog: Backlog | None = None
        self._writer: LaneWriter | None = None
        self._clock = BrokerClock()
        self._stored = 0
        self._warnings: dict[str, str] = {}
        """What somebody should look at although everything is delivered, by log name."""
        self._suspects: int | None = None
        self._pause = FIRST_PAUSE
        self._trouble: str | None = None
        self._trouble_rank = 0
        self._trouble_until = 0.0
        self._heartbeat_at = self._full_manifest_at = self._tidy_at = self._again_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"portalbus-delivery-{settings.source}", daemon=True)

    def start(self) -> None:
        """Begins, or stands by until the process that delivers is gone."""
        self._thread.start()

    def wake(self) -> None:
        """Says that there is something to deliver."""
        self._wake.set()

    def stop(self, seconds: float) -> None:
        """Ends the thread; what is not acknowledged stays in the outbox."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)

    def acquire(self) -> None:
        """Waits until no file is in use, and closes them: the process is about to fork."""
        self._files.acquire()
        self._mark.close()
        if self._backlog is not None:
            self._backlog.database.lock.acquire()
            self._backlog.database.close()
        if self._companion is not None:
            self._companion.acquire()

    def release(self) -> None:
        """After the fork, in the parent."""
        if self._companion is not None:
            self._companion.release()
        if self._backlog is not None:
            self._backlog.database.lock.release()
        self._files.release()

    def leave_behind(self) -> None:
        """After the fork, in the child: nothing of the parent's connection may be touched, not even freed."""
        if self._companion is not None:
            self._companion.leave_behind()
        if self._writer is not None:
            self._writer.leave_behind()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._lock.acquire():
                self._stopping.wait(CANDIDATE_SECONDS)
                continue
            try:
                self._lead()
            except Exception as error:
                # Nobody is there to catch it; the outbox is intact, and the next round starts from what it says.
                ours = isinstance(error, PortalbusError)
                self._say_trouble(str(error) if ours else f"{type(error).__name__}: {error}", 9)
                self._rest()
            finally:
                if self._spans is not None:
                    self._spans.close()
                self._lock.release()

    def _lead(self) -> None:
        with self._files:
            backlog = self._backlog = Backlog(self._outbox)
            backlog.report(os.getpid(), self._trouble)
        logs.info(logs.DELIVERY_STARTED, source=self._settings.source, topic=self._topic)
        if self._companion is not None:
            self._companion.begin(backlog)
        if self._canaries is not None:
            self._canaries.begin()
        try:
            while not self._stopping.is_set():
                self._one_producer(backlog)
        except OutboxDamaged as error:
            self._say_damaged(str(error))
            self._stopping.wait()
        finally:
            if self._companion is not None:
                self._companion.end()
            self._end_lead(backlog)
            logs.info(logs.DELIVERY_STOPPED, source=self._settings.source, topic=self._topic)

    def _end_lead(self, backlog: Backlog) -> None:
        with self._files:
            self._backlog = None
            try:
                backlog.report(None, self._trouble)
            except PortalbusError:
                pass  # a full disk, or a damaged file: what keeps it from being written was said already
            finally:
                backlog.database.close()

    def _one_producer(self, backlog: Backlog) -> None:
        """The life of one producer: until it is told to stop, or something was not acknowledged."""
        writer = self._writer = LaneWriter(self._settings, self._topic, self._on_error, self._clock.wrote)
        shipping = Shipping(
            backlog,
            writer,
            self._records,
            suspects=self._suspects,
            on_success=self._say_recovered,
            on_settled=self._on_settled,
            on_recorded=self._spans.delivered if self._spans is not None else None,
        )
        try:
            while not self._stopping.is_set():
                self._step(backlog, shipping)
            self._say_good_bye(backlog, writer, shipping)
        except ShippingBroken as broken:
            self._suspects = broken.suspects
            self._say_trouble(in_plain_words(broken.error, self._settings, self._topic), rank(broken.error))
        except (RegistryUnavailable, RegistryRefused) as error:
            self._say_trouble(_registry_words(error), 2)
        finally:
            writer.close()
            self._writer = None
            with self._files:
                shipping.finish()
        if self._trouble is not None:
            self._rest()

    def _say_good_bye(self, backlog: Backlog, writer: LaneWriter, shipping: Shipping) -> None:
        """Tells the centre that this silence is meant; who delivers next promises a manifest again."""
        if self._trouble is None:
            with self._files:
                shipping.tell(self._records.manifest(backlog, last=True))
            writer.drain(GOOD_BYE_SECONDS)

    def _step(self, backlog: Backlog, shipping: Shipping) -> None:
        with self._files:
            self._check_companion()
            if self._published() > shipping.sent:
                shipping.fill()
            self._now_and_then(backlog, shipping)
        if shipping.in_flight:
            shipping.poll(ANSWER_SECONDS if self._trouble is None else IDLE_SECONDS)
        else:
            shipping.poll(0)
        with self._files:
            settled = shipping.settle()
            if settled:
                self._checkpoint(backlog)
        if not shipping.in_flight and not settled:
            self._wake.wait(IDLE_SECONDS)
        self._wake.clear()

    def _published(self) -> int:
        mark = self._mark.read()
        return max(mark.sequence if mark else 0, self._stored)

    def _now_and_then(self, backlog: Backlog, shipping: Shipping) -> None:
        now = time.monotonic()
        if now >= self._again_at:
            self._again_at = now + 4 * IDLE_SECONDS
            shipping.fill_again()
            shipping.fill_answers()
            self._look_at_mark(backlog)
            self._warn(logs.CLOCK_OFF, self._clock.warning())
        if now >= self._heartbeat_at:
            full = now >= self._full_manifest_at
            shipping.tell(self._records.manifest(backlog, days=None if full else RECENT_DAYS))
            self._heartbeat_at = now + self._settings.heartbeat
            if full:
                self._full_manifest_at = now + FULL_MANIFEST_SECONDS
            self._mark.sync()
        if self._canaries is not None:
            self._canaries.send_if_due()
        if now >= self._tidy_at:
            gone = backlog.prune(self._settings.bounds, int(time.time() * 1000))
            self._tidy_at = now + (0 if gone else 60.0)

    def _look_at_mark(self, backlog: Backlog) -> None:
        """Raises the mark where a publisher could not. What lies in the outbox is delivered with or without it."""
        row, mark = backlog.source_row(), self._mark.read()
        self._stored, trouble = row.last_sequence, None
        if mark is None or mark < (row.epoch, row.last_sequence):
            try:
                self._mark.raise_to(Mark(row.epoch, row.last_sequence))
            except OSError as error:
                trouble = (
                    f"{self._mark.path} cannot be written ({error.strerror}): every event is stored and delivered, but"
                    " damage to the outbox would go unnoticed. Look at this disk"
                )
        self._warn(logs.MARK_BEHIND, trouble)

    def _checkpoint(self, backlog: Backlog) -> None:
        log = self._outbox.path.with_name(self._outbox.path.name + "-wal")
        size = log.stat().st_size if log.exists() else 0
        if size > CHECKPOINT_BYTES:
            backlog.database.checkpoint(restart=size > RESTART_BYTES)

    def _check_companion(self) -> None:
        if self._companion is not None and (found := self._companion.damage()):
            raise OutboxDamaged(found)

    def _rest(self) -> None:
        self._stopping.wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _on_error(self, error: KafkaError) -> None:
        self._say_trouble(in_plain_words(error, self._settings, self._topic), rank(error))

    def _say_trouble(self, text: str, weight: int) -> None:
        now = time.monotonic()
        if weight < self._trouble_rank and now < self._trouble_until:
            return
        self._trouble_until = now + TROUBLE_SECONDS
        if text == self._trouble:
            return
        self._trouble, self._trouble_rank = text, weight
        logs.warning(logs.DELIVERY_TROUBLE, source=self._settings.source, topic=self._topic, trouble=text)
        self._report()

    def _warn(self, name: str, text: str | None) -> None:
        if text == self._warnings.get(name):
            return
        if text is None:
            del self._warnings[name]
        else:
            self._warnings[name] = text
            logs.warning(name, source=self._settings.source, found=text)
        self._report()

    def _say_recovered(self) -> None:
        self._pause = FIRST_PAUSE
        if self._trouble is not None:
            self._trouble, self._trouble_rank = None, 0
            logs.info(logs.DELIVERY_RECOVERED, source=self._settings.source, topic=self._topic)
            self._report()

    def _say_damaged(self, text: str) -> None:
        logs.warning(logs.OUTBOX_DAMAGED, source=self._settings.source, damage=text)
        self._say_trouble(text, 10)
        with self._files:
            if self._backlog is not None:
                self._backlog.report_damage(text)

    def _report(self) -> None:
        with self._files:
            if self._backlog is not None:
                self._backlog.report(os.getpid(), self._trouble or next(iter(self._warnings.values()), None))


def _registry_words(error: Exception) -> str:
    if isinstance(error, RegistryRefused):
        return f"the registry does not have the bus's contracts: run `portalbus schemas register` ({error})"
    return f"the registry does not answer, and the schema ids are not known yet ({error})"
