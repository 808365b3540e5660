"""The simulated portals: each with the real SDK, an outbox of its own, and a thread that publishes its day."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.plan import Door, Plan, Step
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.producers import Portal
from portalbus.schemas.errors import EventRefused


class SimulatedPortals:
    """All portals of the cast. A context manager: opened inside, flushed and closed after."""

    def __init__(self, plan: Plan, addresses: Addresses, outboxes: Path, clockwork: Clockwork, log: SentLog) -> None:
        self._addresses = addresses
        self._outboxes = outboxes
        self._clockwork = clockwork
        self._log = log
        self._portals: dict[str, Portal] = {}
        self._threads: list[threading.Thread] = []
        self._closing = ExitStack()
        self._steps: dict[str, list[Step]] = defaultdict(list)
        for step in plan.steps:
            if step.door is Door.SDK:
                self._steps[step.agency].append(step)
        self._cast = plan.cast

    def __enter__(self) -> SimulatedPortals:
        for agency in self._cast:
            portal = Portal(
                agency=agency.code,
                bootstrap=self._addresses.bootstrap,
                registry_url=self._addresses.registry_url,
                outbox=self._outboxes,
                canary=0,  # the demo counts every event it sends
            )
            self._portals[agency.code] = portal
            self._closing.callback(portal.close)
            portal.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.join(timeout=30)
        self._closing.close()

    def start(self) -> None:
        """Every portal begins its day."""
        for agency, portal in self._portals.items():
            thread = threading.Thread(
                target=self._work, args=(agency, portal), name=f"demo-portal-{agency}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def finish(self, patience_s: float) -> bool:
        """Wait until every portal has published its day and Kafka has acknowledged it; tell whether it did."""
        for thread in self._threads:
            thread.join()
        flushed = [portal.flush(patience_s) for portal in self._portals.values()]
        return all(flushed)

    def _work(self, agency: str, portal: Portal) -> None:
        self._clockwork.play(self._steps[agency], lambda step: self._publish(portal, step))

    def _publish(self, portal: Portal, step: Step) -> None:
        called = time.time_ns()
        try:
            receipt = portal.publish(step.payload, occurred_at=step.occurred_at)
        except EventRefused as refusal:
            self._log.note(Sent(step, called, time.time_ns(), refused=refusal.rule))
        else:
            self._log.note(Sent(step, called, time.time_ns(), event_id=receipt.event_id))
