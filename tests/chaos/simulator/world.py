"""The world of one seed: what may happen next, until the faults stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import accumulate

from portalbus.producers import backlog, delivery, draft, lane_records, outbox
from portalbus.streams.ledger import clock as ledger_clock
from simulator.broker import connected
from simulator.clock import machines_read
from simulator.disk import can_listen, listening
from simulator.parts import SOURCES
from simulator.portals import SimPortal, on_disk
from simulator.reading import remembered
from simulator.relays import SimRelay
from simulator.rest import Rest
from simulator.statements import in_memory
from simulator.workers import SimWorker


class World(Rest):
    """A life: steps with faults, then rest."""

    def live(self, steps: int) -> None:
        """So many steps with faults, then rest, then the last judgement. Raises Violation."""
        with self._everything():
            self._note("begin", f"seed {self.seed} faults {' '.join(sorted(self.faults))}")
            self.portals = {source: SimPortal(source, self.root, self.disk, self.clock) for source in SOURCES}
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
            reading = [outbox, backlog, delivery, lane_records, draft, ledger_clock]
            stack.enter_context(machines_read(self.clock, reading))
            stack.enter_context(connected(self.broker))
            stack.enter_context(in_memory())
            stack.enter_context(remembered())
            stack.enter_context(on_disk(self.disk))
            if "portal-bombed" in self.faults:
                stack.enter_context(self.bombs.laid())
            if can_listen():
                stack.enter_context(listening(self.disk))
            yield

    def _step(self) -> None:
        acts, weights = self._weighted
        name, act = self.random.choices(acts, cum_weights=weights)[0]
        self.clock.advance(self.random.choice((0.001, 0.01, 0.1, 1.0)) if self.random.random() < 0.97 else 40.0)
        self._note(name, act())
        self.watch.look(self)

    @cached_property
    def _weighted(self) -> tuple[list[tuple[str, Callable[[], object]]], list[int]]:
        """What may happen next, as long as there are faults, with the sums of the weights."""
        choices = [choice for choice in self._choices() if choice[0]]
        return [(name, act) for _, name, act in choices], list(accumulate(weight for weight, *_ in choices))

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
            (16 if on("worker-clock") else 4, "tend", self._tend),
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
            (2 * on("worker-clock"), "worker-clock", self._jump_worker_clock),
            (1 * on("centre-away"), "centre-away", self._away_across_a_bound),
            (1 * on("broker-clock"), "broker-clock", self._jump_broker_clock),
            (2 * on("backup-restored"), "backup", self._back_up),
            (2 * on("backup-restored"), "backup-restored", self._restore),
        ]
