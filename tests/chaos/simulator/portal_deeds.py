"""What may happen to the portals, their disks, their clocks, and their way to the broker."""

from __future__ import annotations

from datetime import timedelta

from confluent_kafka import KafkaError

from portalbus.schemas.errors import OutboxDamaged
from portalbus.schemas.topics import lane_of
from simulator.broker import RUBBISH, Sent
from simulator.clock import NOON
from simulator.invariants import demand
from simulator.parts import AGENCIES, SOURCES, Parts
from simulator.portals import SimCrash, SimPortal
from simulator.story import Said

KEPT = timedelta(days=8)
ERRORS = (KafkaError._TRANSPORT, KafkaError._FATAL, KafkaError.UNKNOWN_PRODUCER_ID)


class PortalDeeds(Parts):
    """One method for each thing that may happen; each says what it did."""

    def _some_portal(self) -> SimPortal:
        portal = self.random.choice(list(self.portals.values()))
        if not portal.alive:
            self._start(portal)
        return portal

    def _start(self, portal: SimPortal) -> None:
        portal.start()
        self._note("portal-started", f"{portal.source} repairs {portal.repairs}")
        demand(
            self.restored or not portal.repairs, portal.source, "needed a repair though nobody had touched its files"
        )
        self._demand_promised(portal)

    def _demand_promised(self, portal: SimPortal) -> None:
        """What was acknowledged lies in the outbox, or was delivered."""
        stored = set(portal.stored().values())
        landed = self.broker.landed
        for said in self.story.said.values():
            if said.source == portal.source and said.promised and said.event_id not in self.excused_lost:
                known = said.event_id.replace("-", "") in stored or said.event_id in landed
                demand(known, said.source, said.promised, "was acknowledged and is in neither outbox nor lane")

    def _publish(self) -> str:
        portal = self._some_portal()
        retries = self.retries[portal.source]
        if retries and "abandoned" in self.faults and self.random.random() < 0.2:
            given_up = retries.pop(0)
            self.broken_keys.add(given_up.key)
            return f"{portal.source} gives up {given_up.event_id[-4:]}"
        said = [retries[0]] if retries else self._to_say(portal.source)
        self._arm()
        try:
            receipts = portal.publish([(one.payload, one.event_id) for one in said])
        except (SimCrash, OutboxDamaged) as error:
            self.retries[portal.source] = said + retries[1:] if retries else said
            return self._died(portal, error)
        finally:
            self.bombs.left = 0
        for one, receipt in zip(said, receipts, strict=True):
            place = (receipt.epoch, receipt.sequence)
            demand(one.promised in (None, place) or portal.repairs, one.event_id, "promised twice", one.promised, place)
            one.promised = place
        del retries[:1]
        return f"{portal.source} {[receipt.sequence for receipt in receipts]}"

    def _to_say(self, source: str) -> list[Said]:
        if self.random.random() < 0.05:  # the application lost its answer, and asks again
            again = [one for one in self.story.said.values() if one.source == source and one.promised]
            if again:
                return [self.random.choice(again)]
        return [self.story.next(source) for _ in range(self.random.choice((1, 1, 1, 2, 4)))]

    def _arm(self) -> None:
        if "portal-bombed" in self.faults and self.random.random() < 0.12:
            self.bombs.left = self.random.randint(1, 6)

    def _died(self, portal: SimPortal, why: BaseException) -> str:
        self.bombs.left = 0
        portal.die(self.random, power="power-cut" in self.faults and self.random.random() < 0.3)
        return f"{portal.source} ended: {type(why).__name__}"

    def _deliver(self) -> str:
        portal = self._some_portal()
        self._arm()
        try:
            return f"{portal.source} {portal.deliver()}"
        except (SimCrash, OutboxDamaged) as error:
            return self._died(portal, error)
        finally:
            self.bombs.left = 0

    def _listen(self) -> str:
        portal = self._some_portal()
        return f"{portal.source} {portal.listen(self._said_to(portal), self.random.randint(1, 20))}"

    def _land(self) -> str:
        portal = self._some_portal()
        assert portal.writer is not None
        return f"{portal.source} {len(portal.writer.land(self.random.randint(1, 8)))}"

    def _break_connection(self) -> str:
        portal = self._some_portal()
        assert portal.writer is not None
        error = self.random.choice(ERRORS)
        return f"{portal.source} {len(portal.writer.fail(error, unheard=self.random.randint(0, 5)))} unheard"

    def _lose_record(self) -> str:
        portal = self._some_portal()
        assert portal.writer is not None
        event_id = portal.writer.lose_one()
        if event_id is not None:
            self.lost_records.add(event_id)
        return f"{portal.source} {(event_id or '')[-4:]}".rstrip()

    def _land_ghost(self) -> str:
        if not self.broker.ghosts:
            return "none"
        topic, rest = self.random.choice(self.broker.ghosts)
        for _ in range(min(len(rest), self.random.randint(1, 4))):
            self.broker.lay(topic, rest.popleft())
        return topic

    def _lay_rubbish(self) -> str:
        """A record that nobody can read; it may well claim a key, and the next place of a source."""
        agency = self.random.choice(AGENCIES)
        log = self.broker.lanes.get(lane_of(agency), [])
        value = self.random.randbytes(self.random.randint(0, 40))
        key, headers = RUBBISH, []
        if log and self.random.random() < 0.6:  # an event that lost its end
            event = self.random.choice(log)
            value, key = (event.value or b"")[: self.random.randint(1, 60)], event.key or b""
        source = self.random.choice([source for source in SOURCES if source.startswith(agency)])
        known = self.store.sources.get((agency, source.split("/")[1]))
        if self.random.random() < 0.5:
            claimed = (known.last_sequence if known else 0) + self.random.choice((1, 1, 2, -1))
            headers = [("ce_source", f"/{source}".encode()), ("ce_sequence", b"%d" % claimed)]
        self.broker.lay(lane_of(agency), Sent(key, value, headers, lambda _: None))
        return f"{agency} {len(value)} bytes {key!r} {headers}"

    def _kill_portal(self, *, power: bool = False) -> str:
        portal = self._some_portal()
        portal.die(self.random, power=power)
        return portal.source

    def _jump_portal_clock(self) -> str:
        portal = self._some_portal()
        portal.off = timedelta(hours=self.random.choice((-72, self.random.randint(-20, 20), 72)))
        return f"{portal.source} {portal.off}"

    def _jump_broker_clock(self) -> str:
        self.broker.behind = self.random.choice((0.0, 1_000.0, -3_600_000.0, 7_200_000.0))
        return f"behind by {self.broker.behind:g} ms"

    def _away_across_a_bound(self) -> str:
        """Nobody judges for a week, or nearly; portals go on, and most of what they say lies on the lanes after it."""
        if self.clock.true > NOON + KEPT:
            return "not again: outboxes let go of what they sent a month ago"
        days = []
        for _ in range(self.random.randint(1, 3)):
            days.append(self.random.choice((0.5, 3.0, 6.5, 6.9999, 7.0)))
            self.clock.advance(86_400 * days[-1])
            for _ in range(self.random.randint(0, 8)):
                self.random.choice((self._publish, self._deliver, self._deliver, self._land, self._land))()
        self.clock.advance(86_400 * self.random.choice((0.01, 1.0, 1.5)))
        return f"for {days} days"

    def _back_up(self) -> str:
        portal = self._some_portal()
        portal.back_up(self.root / f"backup.{portal.source.replace('/', '.')}")
        return portal.source

    def _restore(self) -> str:
        """An operator puts an older copy of the outbox back; the mark beside it says that it is one.

        That takes minutes: what the dead process had on the wire is gone by then. (Were it not, records of the epoch
        before the repair would land behind those of the new one.)
        """
        portal = self._some_portal()
        copy = self.root / f"backup.{portal.source.replace('/', '.')}"
        if not copy.exists():
            return "no copy"
        portal.die(self.random)
        self.restored = True
        self.broker.ghosts = [ghost for ghost in self.broker.ghosts if ghost[0] != lane_of(portal.agency)]
        portal.restore(copy)
        portal.start()
        kept, landed = set(portal.stored().values()), self.broker.landed
        for said in self.story.said.values():
            gone = said.event_id.replace("-", "") not in kept and said.event_id not in landed
            if said.source == portal.source and said.promised and gone:
                self.excused_lost.add(said.event_id)
                self.broken_keys.add(said.key)
        return f"{portal.source} repairs {portal.repairs}"
