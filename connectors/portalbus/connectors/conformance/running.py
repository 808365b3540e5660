"""Lives one scenario: tells the portal and the receiving end what to do, and writes down what was seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from portalbus.connectors.conformance.door import Door, Request
from portalbus.connectors.conformance.driven_portal import DrivenPortal, NotOffered
from portalbus.connectors.conformance.making import Maker, Place, Said, place_of
from portalbus.connectors.conformance.scenario import (
    ALL,
    Disturb,
    Heal,
    Kill,
    Publish,
    PublishTogether,
    Scenario,
    Step,
    Work,
)
from portalbus.schemas.models import Envelope, Payload

BETWEEN_LOOKS = 0.1
CALM_SECONDS = 0.3
"""How long to go on looking after everything has come: what comes too often comes late."""

THREADS = 8


@dataclass(frozen=True)
class Taken:
    """One event on the lane."""

    envelope: Envelope
    payload: Payload
    key: str

    @property
    def place(self) -> Place:
        """What it is about."""
        return place_of(self.payload.event_type, self.payload.__dict__)


@dataclass
class Seen:
    """What one scenario showed. `answers` holds what the portal said last of each ref: its state, and the rule.

    `unreadable` are the rules of records that are no right events, for whatever reason.
    """

    said: dict[str, Said] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    requests: Sequence[Request] = ()
    waiting: int = 0
    waited: float = 0.0
    arrives: frozenset[str] = frozenset()


@dataclass
class Run:
    """One portal in front of one door, for one run of the kit."""

    portal: DrivenPortal
    door: Door
    name: str
    agency: str = "H26"
    portal_id: str = "conformance"
    patience: float = 30.0
    pace: float = 1.0
    """What the times in the scenarios are multiplied by."""

    def connect(self) -> dict[str, Any]:
        """Tells the portal where the bus is; it answers who it is."""
        return self.portal.say("connect", **self.door.settings(self.agency, self.portal_id))

    def live(self, scenario: Scenario) -> Seen:
        """Lives a scenario. Raises DriverFailed, and NotOffered when the portal has no such thing."""
        maker, seen = Maker(scenario, self.name, self.agency), Seen()
        before = len(self.door.requests())
        try:
            for step in scenario.step:
                self._take(step, maker, seen)
        finally:
            self.door.heal()
        seen.said = maker.said
        seen.arrives = frozenset(maker.said) if scenario.arrives == ALL else frozenset(scenario.arrives)
        self._settle(maker, seen)
        seen.requests = self.door.requests()[before:]
        return seen

    def _take(self, step: Step, maker: Maker, seen: Seen) -> None:
        if isinstance(step, Publish):
            self._publish(maker.make(step), seen)
        elif isinstance(step, PublishTogether):
            self._publish_together(maker.make_together(step), seen)
        elif isinstance(step, Disturb):
            self.door.disturb(step)
        elif isinstance(step, Heal):
            self.door.heal()
        elif isinstance(step, Work):
            self._work(step.seconds)
        elif isinstance(step, Kill):
            self._kill()

    def _publish(self, said: Said, seen: Seen) -> None:
        about = {"correlation": said.correlation} if said.correlation is not None else {}
        seen.answers[said.ref] = self.portal.say(
            "publish", reference=said.reference, type=said.event_type, agency=said.agency, data=said.data, **about
        )

    def _publish_together(self, documents: list[list[Said]], seen: Seen) -> None:
        def one(versions: list[Said]) -> None:
            for said in versions:
                self._publish(said, seen)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(one, documents))

    def _work(self, seconds: float) -> None:
        end = time.monotonic() + seconds * self.pace
        while time.monotonic() < end:
            self._deliver()
            time.sleep(BETWEEN_LOOKS)

    def _deliver(self) -> int:
        """One pass of the portal's worker; how much it says is waiting still."""
        try:
            waiting = self.portal.say("deliver").get("waiting", 0)
        except NotOffered:
            return 0  # it has nothing that would wait
        return waiting if isinstance(waiting, int) else 0

    def _kill(self) -> None:
        self.portal.kill()
        self.portal.start()
        self.connect()

    def _settle(self, maker: Maker, seen: Seen) -> None:
        """Lets the portal work until nothing waits and all has come, or the patience is over; then a moment more."""
        started = time.monotonic()
        calm_since = None
        while (now := time.monotonic()) - started < self.patience:
            seen.waiting = self._deliver()
            self._look(maker, seen)
            places = {event.place for event in seen.taken}
            come = all(maker.said[ref].place in places for ref in seen.arrives)
            if not come or seen.waiting:
                calm_since = None
            elif calm_since is None:
                calm_since = now
            elif now - calm_since > CALM_SECONDS * self.pace:
                break
            time.sleep(BETWEEN_LOOKS)
        seen.waited = time.monotonic() - started
        self._ask_for_refusals(maker, seen)

    def _look(self, maker: Maker, seen: Seen) -> None:
        mine = [arrived for arrived in self.door.taken() if maker.mark in arrived.key]
        events = [Taken(one.envelope, one.payload, one.key) for one in mine if one.envelope and one.payload]
        seen.unreadable = [one.rule for one in mine if one.payload is None]
        # The place in the source's order is what counts: the centre judges by it, however the records lie.
        seen.taken = sorted(events, key=lambda event: (event.envelope.epoch, event.envelope.sequence))

    def _ask_for_refusals(self, maker: Maker, seen: Seen) -> None:
        """What became of everything that was not refused at once: the bus may have refused it later."""
        for ref, said in maker.said.items():
            if seen.answers.get(ref, {}).get("state") != "refused":
                try:
                    seen.answers[ref] = self.portal.say("report", reference=said.reference)
                except NotOffered:
                    return
