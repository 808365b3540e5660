"""The portal's side of the bus: publish, and know what became of it."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from portalbus.producers import forks
from portalbus.producers.outbox import Outbox
from portalbus.producers.receipt import About, Receipt
from portalbus.producers.settings import Bounds, Settings, settings_from_env
from portalbus.producers.status import PortalStatus
from portalbus.schemas.errors import PortalbusError, PortalClosed

if TYPE_CHECKING:
    from portalbus.producers.delivery import Delivery
    from portalbus.producers.draft import Drafter
    from portalbus.producers.undeliverable import Undeliverable
    from portalbus.schemas.models import Payload, Verdict

FLUSH_LOOK_SECONDS = 0.01
STOP_SECONDS = 3.0


class Portal:
    """One portal of one agency, speaking on the bus.

    `publish()` checks an event, gives it its sequence and stores it durably in an outbox on the local disk; a
    background thread delivers it, across outages, restarts and crashes. Threads and forked processes may share a
    portal. Nothing is opened, started or connected before the first use; `start()` and `with` begin delivery (and
    heartbeats) before the first event.

    `outbox` is a folder on a local disk (not a network file system: its locks and syncs cannot be relied on).
    `kafka` holds librdkafka properties for the login, such as `{"security.protocol": "SASL_SSL", …}`.
    """

    def __init__(
        self,
        agency: str,
        portal: str = "www",
        *,
        bootstrap: str = "",
        registry_url: str = "",
        outbox: Path | str,
        kafka: Mapping[str, str] | None = None,
        bounds: Bounds | None = None,
        heartbeat: float = 60.0,
        canary: float = 300.0,
        verdicts: bool = False,
        on_verdict: Callable[[Verdict], None] | None = None,
        deliver: bool = True,
        flush_at_exit: float = 3.0,
    ) -> None:
        """Raises ValueError for settings that cannot work. See `Settings` and `Bounds` for what each means."""
        self.settings = Settings(
            agency=agency,
            portal=portal,
            bootstrap=bootstrap,
            registry_url=registry_url,
            outbox=Path(outbox),
            bounds=bounds or Bounds(),
            heartbeat=heartbeat,
            canary=canary,
            verdicts=verdicts or on_verdict is not None,
            deliver=deliver,
            flush_at_exit=flush_at_exit,
            kafka=dict(kafka or {}),
        )
        self._on_verdict = on_verdict
        self._outbox = Outbox(self.settings.outbox, agency, portal, self.settings.bounds)
        self._beginning = threading.RLock()
        self._drafter: Drafter | None = None
        self._delivery: Delivery | None = None
        self._closed = False
        forks.watch(self)
        _open_portals.add(self)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A portal as the environment describes it.

        PORTALBUS_AGENCY, _PORTAL, _BOOTSTRAP, _REGISTRY, _OUTBOX, _KEEP_DAYS, _KEEP_BYTES, _HEARTBEAT, _CANARY,
        _VERDICTS, and PORTALBUS_KAFKA_… for librdkafka properties. Raises ValueError naming what is missing there and
        in `overrides`. `bounds` among these takes the place of both that are kept.
        """
        return cls(**{**settings_from_env(given=overrides), **overrides})

    def start(self) -> Self:
        """Opens the outbox and begins delivery and heartbeats in this process. Raises OutboxDamaged."""
        self._outbox.source_row()
        self._deliver()
        return self

    def publish(
        self,
        payload: Payload,
        *,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Publishes one event; it is durable, and will be delivered, when this returns.

        Give an `event_id` of your own (a UUID) to make a retry harmless: the same event again gets the first receipt.
        `occurred_at` is now unless given. Raises EventRefused (rule, field, how to mend it), OutboxFull, OutboxDamaged,
        OutboxUnavailable; nothing was stored then.
        """
        draft = self._drafts().draft(
            payload,
            event_id=event_id,
            occurred_at=occurred_at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=traceparent,
        )
        (receipt,) = self._outbox.append([draft])
        self._deliver()
        return receipt

    def publish_many(self, payloads: Iterable[Payload]) -> list[Receipt]:
        """Publishes several events in one transaction, in order: all of them or none. Raises like `publish`."""
        drafter = self._drafts()
        drafts = []
        for index, payload in enumerate(payloads):
            try:
                drafts.append(drafter.draft(payload))
            except Exception as error:
                error.add_note(f"event {index} of the batch; none of it was stored")
                raise
        receipts = self._outbox.append(drafts)
        self._deliver()
        return receipts

    def publish_json(self, event_type: str, data: Mapping[str, Any], about: About | None = None) -> Receipt:
        """Publishes an event given as JSON data; `about` holds keyword arguments of `publish`. Raises like it."""
        from portalbus.producers.draft import payload_from_json

        return self.publish(payload_from_json(event_type, data), **(about or {}))

    def publish_cloudevent(self, event: Mapping[str, Any]) -> Receipt:
        """Publishes a CloudEvent 1.0 (structured JSON) whose source is `/<agency>/<portal>`. Raises like `publish`."""
        from portalbus.producers.cloudevents import check_source, from_cloudevent

        payload, about = from_cloudevent(event)
        check_source(event, self.settings.agency)
        return self.publish(payload, **about)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until the broker has acknowledged everything published so far, at most `timeout` seconds.

        False when time is up, or when some of it could not be delivered: see `status()` and `undeliverable()`.
        """
        self._deliver()
        before = self._outbox.source_row()
        deadline = time.monotonic() + timeout
        delivered = before.delivered_sequence
        while delivered < before.last_sequence:
            if time.monotonic() >= deadline:
                return False
            time.sleep(FLUSH_LOOK_SECONDS)
            delivered = self._outbox.source_row().delivered_sequence
        return not self._outbox.stuck_between(before.delivered_sequence + 1, before.last_sequence)

    def status(self) -> PortalStatus:
        """How the outbox is doing; the same in every process that uses it. Never raises for a damaged outbox."""
        from portalbus.producers.status_report import read_status

        return read_status(self._outbox)

    def verdicts(self, event_id: str | None = None, since: datetime | None = None) -> Iterator[Verdict]:
        """The centre's verdicts that have come back so far, oldest first.

        One record of the lane gets one final verdict. An event that was sent again, because its acknowledgement was
        lost or the centre asked for it, is two records: one ACCEPTED and one DUPLICATE, both final, with the same id.

        They come back where some portal of this outbox was given `verdicts=True` or `on_verdict`.
        """
        from portalbus.producers.stored_verdicts import stored_verdicts

        self._deliver()
        return stored_verdicts(self._outbox, event_id, since)

    def verdict_of(self, event_id: str) -> Verdict | None:
        """The latest verdict on an event, None while there is none."""
        found = list(self.verdicts(event_id))
        return found[-1] if found else None

    def wait_for_verdict(self, event_id: str, timeout: float = 30.0) -> Verdict | None:
        """Waits until the centre has decided on an event for good, at most `timeout` seconds; its latest verdict.

        None while there is none; one that is not final (`verdict.final`) when the event waits for something. Like
        `verdicts()`, it needs a portal of this outbox with `verdicts=True` or `on_verdict`.
        """
        deadline = time.monotonic() + timeout
        while (verdict := self.verdict_of(event_id)) is None or not verdict.final:
            if time.monotonic() >= deadline:
                break
            time.sleep(FLUSH_LOOK_SECONDS)
        return verdict

    def undeliverable(self) -> list[Undeliverable]:
        """Events that the broker refused for good, and those of the same key held behind them."""
        from portalbus.producers.undeliverable import read_undeliverable

        return read_undeliverable(self._outbox)

    def redrive(self, key: str) -> int:
        """Sends the dead and held events of a key again, in order; returns how many."""
        from portalbus.producers.undeliverable import redrive

        count = redrive(self._outbox, key)
        self._deliver()
        return count

    def discard(self, sequence: int) -> bool:
        """Gives up a dead event; those held behind it go on. False when no dead event has this sequence."""
        from portalbus.producers.undeliverable import discard

        done = discard(self._outbox, sequence)
        self._deliver()
        return done

    def close(self, timeout: float | None = None) -> None:
        """Waits a moment (`flush_at_exit` seconds unless given) for deliveries and stops.

        What is left lies in the outbox and goes out at the next start. Called by itself when the process ends.
        """
        patience = self.settings.flush_at_exit if timeout is None else timeout
        with self._beginning:
            if self._closed:
                return
            self._closed = True
            delivery, self._delivery = self._delivery, None
        if delivery is not None:
            self._wait_for_delivery(patience)
            delivery.stop(STOP_SECONDS)
        self._outbox.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Portal {self.settings.source} outbox={str(self.settings.outbox)!r}>"

    def before_fork(self) -> None:
        """The process is about to fork: no file may cross it open."""
        self._beginning.acquire()
        if self._delivery is not None:
            self._delivery.acquire()
        self._outbox.acquire()

    def after_fork(self, *, child: bool) -> None:
        """The process forked; a child begins a delivery of its own when it first needs one."""
        self._outbox.release(forked=child)
        if self._delivery is not None:
            if child:
                self._delivery.leave_behind()
                self._delivery = None
            else:
                self._delivery.release()
        self._beginning.release()

    def _drafts(self) -> Drafter:
        if self._closed:
            raise PortalClosed(f"the portal {self.settings.source} was closed: make a new one")
        if self._drafter is None:
            with self._beginning:  # a fork in the middle of an import would leave its lock behind in the child
                from portalbus.producers.draft import Drafter

                self._drafter = Drafter(self.settings.agency, self.settings.portal)
        return self._drafter

    def _deliver(self) -> None:
        """Wakes the delivery of this process, or begins it."""
        if self._delivery is None and self.settings.deliver and not self._closed:
            with self._beginning:
                if self._delivery is None and not self._closed:
                    self._delivery = self._begin_delivery()
        if (delivery := self._delivery) is not None:
            delivery.wake()

    def _begin_delivery(self) -> Delivery:
        from portalbus.producers.canaries import Canaries
        from portalbus.producers.centre_reader import CentreReader
        from portalbus.producers.delivery import Delivery
        from portalbus.producers.verdicts import VerdictKeeper
        from portalbus.schemas.topics import verdicts_of

        keeper = VerdictKeeper(verdicts_of(self.settings.agency), self._on_verdict) if self.settings.verdicts else None
        canaries = Canaries(self.settings, self._outbox)
        reader = CentreReader(self.settings, self._outbox, keeper, canaries)
        delivery = Delivery(self.settings, self._outbox, reader, canaries)
        delivery.start()
        return delivery

    def _wait_for_delivery(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        try:
            while self._outbox.source_row().undelivered and time.monotonic() < deadline:
                time.sleep(FLUSH_LOOK_SECONDS)
        except PortalbusError:
            return  # a damaged outbox was reported already, and this is the way out


_open_portals: weakref.WeakSet[Portal] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # One patience for all: a process may hold many portals, and the broker may be away.
    started = time.monotonic()
    for portal in list(_open_portals):
        portal.close(max(portal.settings.flush_at_exit - (time.monotonic() - started), 0))
