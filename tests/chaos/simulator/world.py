"""The world of one seed: parts, what may happen to them next, and how everything comes to rest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from confluent_kafka import KafkaError

from history_checker import check
from portalbus.producers import backlog, delivery, draft, lane_records, outbox
from portalbus.schemas.errors import OutboxDamaged
from portalbus.schemas.topics import lane_of, verdicts_of
from portalbus.streams.judgement.gaps import GapState
from portalbus.streams.ledger.ledger import LaneJump
from simulator.broker import RUBBISH, Broker, Committed, Sent, connected
from simulator.clock import SimClock, machines_read
from simulator.disk import Disk, can_listen, listening
from simulator.history import history_of
from simulator.invariants import Violation, Watch, demand
from simulator.portals import Bombs, SimCrash, SimPortal, on_disk
from simulator.relays import SimRelay, read_position
from simulator.store import ConnectionLost, ConstraintBroken, Store, in_memory
from simulator.story import Said, Story
from simulator.workers import SimWorker

SOURCES = ("H26/www", "H26/edu", "G22/www")
AGENCIES = ("H26", "G22")
FAULTS = (
    "portal-killed",
    "portal-bombed",
    "power-cut",
    "connection-broken",
    "record-lost",
    "ghost-lands",
    "rubbish",
    "worker-killed",
    "worker-frozen",
    "rebalance",
    "rolled-back",
    "commit-unheard",
    "relay-killed",
    "relay-dies-after-commit",
    "portal-clock",
    "broker-clock",
    "backup-restored",
    "abandoned",
)
ERRORS = (KafkaError._TRANSPORT, KafkaError._FATAL, KafkaError.UNKNOWN_PRODUCER_ID)
MOST_ROUNDS = 80
ROUND_SECONDS = 20.0
"""Of the first ten rounds; later ones are longer, so that a clock that was an hour ahead is waited for as well."""
WAITS = (timedelta(hours=2), timedelta(days=8))


@dataclass
class World:
    """Everything of one seed."""

    seed: int
    root: Path
    faults: frozenset[str] = frozenset()
    trace: list[str] = field(default_factory=list)
    excused_lost: set[str] = field(default_factory=set)
    """Events that went with a disk: restored from an older copy before they were delivered."""
    broken_keys: set[str] = field(default_factory=set)
    """Directives and cases of which an event will never come."""
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = SimClock()
        self.broker = Broker(self.clock)
        self.disk = Disk(self.root)
        self.store = Store()
        self.story = Story(self.random, AGENCIES)
        self.watch = Watch()
        self.bombs = Bombs()
        self.group_offsets: dict[str, int] = dict.fromkeys(AGENCIES, 0)
        self.relayed: list[int] = []
        self.restored = False
        self.retries: dict[str, list[Said]] = {source: [] for source in SOURCES}
        if not self.faults:
            most = [fault for fault in FAULTS if fault != "power-cut" or can_listen()]
            self.faults = frozenset(self.random.sample(most, self.random.randint(0, 8)))

    # ---- a life --------------------------------------------------------------------------------------------------

    def live(self, steps: int) -> None:
        """So many steps with faults, then rest, then the last judgement. Raises Violation."""
        with self._everything():
            self._note("begin", f"seed {self.seed} faults {' '.join(sorted(self.faults))}")
            self.portals = {
                source: SimPortal(*source.split("/"), self.root, self.disk, self.clock) for source in SOURCES
            }
            self.workers = [
                SimWorker(name, self.broker, self.store, self.clock, self.group_offsets) for name in ("one", "two")
            ]
            self.relays = [SimRelay(n, self.broker, self.store, self.relayed) for n in ("left", "right")]
            for portal in self.portals.values():
                portal.start()
            self._rebalance()
            try:
                for _ in range(steps):
                    self._step()
                self._come_to_rest()
                self._check_the_end()
            finally:
                for portal in self.portals.values():
                    if portal.alive:
                        portal.die(self.random)

    @contextmanager
    def _everything(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(machines_read(self.clock, [outbox, backlog, delivery, lane_records, draft]))
            stack.enter_context(connected(self.broker))
            stack.enter_context(in_memory())
            stack.enter_context(on_disk(self.disk))
            if "portal-bombed" in self.faults:
                stack.enter_context(self.bombs.laid())
            if can_listen():
                stack.enter_context(listening(self.disk))
            yield

    def _step(self) -> None:
        choices = [(weight, name, act) for weight, name, act in self._choices() if weight]
        _, name, act = self.random.choices(choices, [weight for weight, *_ in choices])[0]
        self.clock.advance(self.random.choice((0.001, 0.01, 0.1, 1.0)) if self.random.random() < 0.97 else 40.0)
        self._note(name, act())
        self.watch.look(self)

    def _choices(self) -> list[tuple[int, str, Callable[[], object]]]:
        """What may happen next, and how readily."""
        on = self.faults.__contains__
        return [
            (26, "publish", self._publish),
            (20, "deliver", self._deliver),
            (16, "land", self._land),
            (14, "fetch", self._fetch),
            (14, "commit", self._commit),
            (10, "relay", self._relay),
            (4, "listen", self._listen),
            (4, "tend", self._tend),
            (2 * on("portal-killed"), "portal-killed", self._kill_portal),
            (2 * on("power-cut"), "power-cut", lambda: self._kill_portal(power=True)),
            (3 * on("connection-broken"), "connection-broken", self._break_connection),
            (2 * on("record-lost"), "record-lost", self._lose_record),
            (4 * on("ghost-lands"), "ghost-lands", self._land_ghost),
            (1 * on("rubbish"), "rubbish", self._lay_rubbish),
            (2 * on("worker-killed"), "worker-killed", self._kill_worker),
            (3 * on("worker-frozen"), "worker-frozen", self._freeze),
            (3 * (on("rebalance") or on("worker-frozen")), "rebalance", self._rebalance),
            (2 * on("relay-killed"), "relay-killed", self._kill_relay),
            (1 * on("portal-clock"), "portal-clock", self._jump_portal_clock),
            (1 * on("broker-clock"), "broker-clock", self._jump_broker_clock),
            (2 * on("backup-restored"), "backup", self._back_up),
            (2 * on("backup-restored"), "backup-restored", self._restore),
        ]

    def _note(self, name: str, what: object) -> None:
        self.happened[name] += 1
        self.trace.append(f"{len(self.trace):4} {name:18} {what if what is not None else ''}".rstrip())

    @property
    def digest(self) -> str:
        """Of the trace: two runs of one seed have the same."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    # ---- portals -------------------------------------------------------------------------------------------------

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
        landed = self._landed()
        for said in self.story.said.values():
            if said.source == portal.source and said.promised and said.event_id not in self.excused_lost:
                known = said.event_id.replace("-", "") in stored or said.event_id in landed
                demand(known, said.source, said.promised, "was acknowledged and is in neither outbox nor lane")

    def _landed(self) -> set[str]:
        return {
            value.decode() for log in self.broker.lanes.values() for r in log for n, value in r.headers if n == "ce_id"
        }

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
        again = [one for one in self.story.said.values() if one.source == source and one.promised]
        if again and self.random.random() < 0.05:  # the application lost its answer, and asks again
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

    def _said_to(self, portal: SimPortal) -> list[Committed]:
        return self.broker.topics.get((verdicts_of(portal.agency), 0), [])

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
        portal.writer.land(1, lose=True)
        return portal.source

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
        portal.off = timedelta(hours=self.random.randint(-20, 20))
        return f"{portal.source} {portal.off}"

    def _jump_broker_clock(self) -> str:
        self.broker.behind = self.random.choice((0.0, 1_000.0, -3_600_000.0, 7_200_000.0))
        return f"behind by {self.broker.behind:g} ms"

    def _back_up(self) -> str:
        portal = self._some_portal()
        portal.back_up(self.root / f"backup.{portal.source.replace('/', '.')}")
        return portal.source

    def _restore(self) -> str:
        """An operator puts an older copy of the outbox back; the mark beside it says that it is one."""
        portal = self._some_portal()
        copy = self.root / f"backup.{portal.source.replace('/', '.')}"
        if not copy.exists():
            return "no copy"
        portal.die(self.random)
        self.restored = True
        portal.restore(copy)
        portal.start()
        kept, landed = set(portal.stored().values()), self._landed()
        for said in self.story.said.values():
            gone = said.event_id.replace("-", "") not in kept and said.event_id not in landed
            if said.source == portal.source and said.promised and gone:
                self.excused_lost.add(said.event_id)
                self.broken_keys.add(said.key)
        return f"{portal.source} repairs {portal.repairs}"

    # ---- workers -------------------------------------------------------------------------------------------------

    def _rebalance(self) -> str:
        """The group shares the lanes out anew; who is frozen, or slow to hear, goes on with what it had."""
        share: dict[str, list[str]] = {worker.name: [] for worker in self.workers}
        awake = [worker for worker in self.workers if not worker.frozen] or self.workers
        for agency in AGENCIES:
            share[self.random.choice(awake).name].append(agency)
        told = []
        for worker in self.workers:
            slow = "worker-frozen" in self.faults and self.random.random() < 0.3
            if not worker.frozen and not slow:
                worker.assign(share[worker.name])
                told.append(f"{worker.name}={','.join(worker.lanes)}")
        return " ".join(told)

    def _fetch(self) -> str:
        worker = self.random.choice(self.workers)
        return f"{worker.name} frozen" if worker.frozen else f"{worker.name} {self._read_on(worker)}"

    def _read_on(self, worker: SimWorker) -> int:
        try:
            return worker.fetch(self.random)
        except Exception as error:  # a handler that raises ends its process
            self._note("handler-raised", f"{worker.name} {type(error).__name__}")
            lanes = list(worker.lanes)
            worker.end()
            worker.assign(lanes)
            return 0

    def _commit(self) -> str:
        worker = self.random.choice(self.workers)
        if worker.frozen or not worker.batches:
            return f"{worker.name} nothing"
        self._spoil_next_commit(worker)
        return self._take_in(worker)

    def _spoil_next_commit(self, worker: SimWorker) -> None:
        for how in ("rolled-back", "commit-unheard"):
            if how in self.faults and self.random.random() < 0.2:
                worker.session.fails = [how]

    def _tend(self) -> str:
        worker = self.random.choice(self.workers)
        if worker.frozen:
            return f"{worker.name} frozen"
        worker.look_at_ends()
        self._spoil_next_commit(worker)
        return self._guarded(worker, lambda: f"{worker.tend()} went on")

    def _take_in(self, worker: SimWorker) -> str:
        return self._guarded(worker, worker.commit)

    def _guarded(self, worker: SimWorker, work: Callable[[], str]) -> str:
        """What a worker does with the database, and how it takes what goes wrong there."""
        try:
            return f"{worker.name} {work()}"
        except ConnectionLost as lost:
            return f"{worker.name} {lost}"
        except LaneJump as jump:
            self.happened["fail-stop"] += 1
            worker.end()
            worker.assign(AGENCIES)
            return f"{worker.name} fail-stop: {jump}"
        except ConstraintBroken as refused:
            raise Violation(f"the database refuses {worker.name}: {refused}") from refused

    def _kill_worker(self) -> str:
        worker = self.random.choice(self.workers)
        worker.end()
        self._rebalance()
        return worker.name

    def _freeze(self) -> str:
        worker = self.random.choice(self.workers)
        worker.frozen = not worker.frozen
        return f"{worker.name} {'freezes' if worker.frozen else 'wakes'}"

    # ---- relays --------------------------------------------------------------------------------------------------

    def _relay(self) -> str:
        relay = self.random.choice(self.relays)
        dies = "relay-dies-after-commit" in self.faults and self.random.random() < 0.2
        return f"{relay.name} {relay.step(killed_after_commit=dies)}"

    def _kill_relay(self) -> str:
        relay = self.random.choice(self.relays)
        relay.end()
        return relay.name

    # ---- the end -------------------------------------------------------------------------------------------------

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
            while self._read_on(self.workers[0]):
                pass
            while self.workers[0].batches:
                self._note("commit", self._take_in(self.workers[0]))
            while (said := self.relays[0].step()) != "idle":
                self._note("relay", said)
            self.workers[0].look_at_ends()
            went_on = self.workers[0].tend()
            self.clock.advance(ROUND_SECONDS * (1 + turn // 10))
            self.watch.look(self)
            behind = [a for a in AGENCIES if self.store.next_offset[a] < len(self.broker.lanes.get(lane_of(a), []))]
            unsent = len(self.store.order) - read_position(self.broker)
            missed = self._missed()
            if not (busy or behind or went_on or unsent or missed):
                return
        raise Violation(f"no rest after the faults stopped: portals {busy}, lanes {behind}, gaps {missed}")

    def _missed(self) -> list[str]:
        """Gaps that their source could still fill."""
        return [
            f"{agency}/{name} {gap.epoch} {gap.first} to {gap.last}"
            for (agency, name), gaps in self.store.gaps.items()
            for gap in gaps.values()
            if gap.state is GapState.OPEN and self.store.sources[agency, name].epoch == gap.epoch
        ]

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
        for said in self.story.said.values():
            if said.promised and said.event_id not in self.excused_lost and said.key not in self.broken_keys:
                agency = said.source.split("/")[0]
                demand((agency, said.event_id) in self.watch.accepted, said, "is sound, and was not accepted")
