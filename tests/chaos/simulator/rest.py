"""The faults stop, everything comes to rest, and is judged."""

from __future__ import annotations

from datetime import timedelta

from history_checker import check
from portalbus.schemas.notices import ResendRequested
from portalbus.schemas.topics import lane_of
from portalbus.streams.judgement.gaps import GapState, Place
from portalbus.streams.judgement.notice import to_source
from portalbus.streams.ledger.notices import send_notices
from portalbus.streams.reconciling.conversing import REASON
from simulator.centre_deeds import CentreDeeds
from simulator.history import history_of
from simulator.invariants import Violation, demand
from simulator.parts import AGENCIES
from simulator.portal_deeds import PortalDeeds
from simulator.portals import SimPortal
from simulator.relays import read_position

MOST_ROUNDS = 80
ROUND_SECONDS = 20.0
"""Of the first ten rounds; later ones are longer, so that a clock that was an hour ahead is waited for as well."""
WAITS = (timedelta(hours=2), timedelta(days=8))


class Rest(PortalDeeds, CentreDeeds):
    """How a life ends."""

    def _come_to_rest(self) -> None:
        """The faults stop; everything that was promised is kept within a bounded number of rounds."""
        self._note("faults-stop", "")
        self.faults = frozenset()
        self.broker.behind = 0.0
        self.broker.ghosts.clear()
        for portal in self.portals.values():
            portal.off = timedelta()
            if not portal.alive:
                self._start(portal)
            while self.retries[portal.source]:
                self._say_again(portal)
            self._publish_one(portal)  # behind it, whatever was lost before shows as a gap
        for worker in self.workers:
            worker.end()
        self.workers[0].assign(AGENCIES)
        self._until_quiet()
        if self._reconcile():
            self._until_quiet()
        for wait in WAITS:  # for parked records that hold their keys, then for causes that never come
            self.clock.true += wait
            self._until_quiet()

    def _say_again(self, portal: SimPortal) -> None:
        said = self.retries[portal.source].pop(0)
        (receipt,) = portal.publish([(said.payload, said.event_id)])
        said.promised = (receipt.epoch, receipt.sequence)

    def _publish_one(self, portal: SimPortal) -> None:
        self.retries[portal.source].append(self.story.next(portal.source))
        self._say_again(portal)

    def _until_quiet(self) -> None:
        for turn in range(MOST_ROUNDS):
            busy = [portal.source for portal in self.portals.values() if self._work(portal)]
            self._judge_on()
            while (said := self.relays[0].step()) != "idle":
                self._note("relay", said)
            self.workers[0].look_at_ends()
            went_on = self.workers[0].tend()
            self.clock.advance(ROUND_SECONDS * (1 + turn // 10))
            self.watch.look(self)
            behind = self._behind()
            unsent = len(self.store.order) - read_position(self.broker)
            missed = self._missed()
            if not (busy or behind or went_on or unsent or missed):
                return
        raise Violation(f"no rest after the faults stopped: portals {busy}, lanes {behind}, gaps {missed}")

    def _judge_on(self) -> None:
        """One worker judges what lies on the lanes."""
        for _ in range(MOST_ROUNDS):
            while self._read_on(self.workers[0]):
                pass
            while self.workers[0].batches:
                self._note("commit", self._take_in(self.workers[0]))
            if not self._behind():
                return

    def _behind(self) -> list[str]:
        """Agencies whose lanes are not judged to their ends."""
        return [a for a in AGENCIES if self.store.next_offset[a] < len(self.broker.lanes.get(lane_of(a), []))]

    def _missed(self) -> list[str]:
        """Gaps that their source could still fill."""
        return [
            f"{agency}/{name} {gap.epoch} {gap.first} to {gap.last}"
            for (agency, name), gaps in self.store.gaps.items()
            for gap in gaps.values()
            if gap.state is GapState.OPEN and self.store.sources[agency, name].epoch == gap.epoch
        ]

    def _reconcile(self) -> int:
        """Asks for what nobody misses by its number: its record was lost, and rubbish had claimed its place before.

        The conversation that finds this out, between statements and store, is not modelled; what comes of it is.
        """
        gone = self.lost_records - self.broker.landed
        asked = [
            to_source(portal.agency, portal.portal, self._differing(portal, place))
            for portal in self.portals.values()
            if gone
            for place, event_id in portal.stored_events().items()
            if event_id in gone and self._is_forged(portal, place, event_id)
        ]
        if asked:
            self._note("reconcile", f"asks for {len(asked)}")
            self.workers[0].session.transact(lambda connection: send_notices(connection, asked, self.clock.now()))
        return len(asked)

    def _differing(self, portal: SimPortal, place: Place) -> ResendRequested:
        epoch, sequence = place
        return ResendRequested(
            agency=portal.agency,
            portal=portal.portal,
            epoch=epoch,
            first=sequence,
            last=sequence,
            reason=REASON,
            requested_at=self.clock.now(),
        )

    def _is_forged(self, portal: SimPortal, place: Place, event_id: str) -> bool:
        """True when a parked record that is another one stands in this place of a portal's order."""
        return any(
            (kept.agency, kept.claim.portal, kept.place) == (portal.agency, portal.portal, place)
            and kept.claim.event_id != event_id
            for kept in self.store.parked.values()
        )

    def _work(self, portal: SimPortal) -> bool:
        """Lets a portal hear and deliver what it can; True when something is left."""
        assert portal.writer is not None
        while portal.listen(self._said_to(portal), 100):
            pass
        portal.deliver()
        while portal.shipping.in_flight or portal.writer.waiting:
            portal.writer.land(100)
            portal.deliver()
        return portal.undelivered > 0

    def _check_the_end(self) -> None:
        self.watch.end(self.store)
        report = check(history_of(self))
        open_places = set(self.store.parked)
        report.undecided = [text for text in report.undecided if not (open_places and text.startswith("a record at"))]
        demand(report.clean, report)
        broken = self.broken_keys | self.watch.ahead | {entry.key for entry, _ in self.watch.timed_up.values()}
        for said in self.story.said.values():
            if said.promised and said.event_id not in self.excused_lost and said.key not in broken:
                agency = said.source.split("/")[0]
                demand((agency, said.event_id) in self.watch.accepted, said, "is sound, and was not accepted")
