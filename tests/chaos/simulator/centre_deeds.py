"""What may happen to the workers and the relays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from portalbus.streams.ledger.ledger import LaneJump
from simulator.invariants import Violation
from simulator.parts import AGENCIES, Parts
from simulator.statements import ConnectionLost
from simulator.store import ConstraintBroken
from simulator.workers import SimWorker


class CentreDeeds(Parts):
    """One method for each thing that may happen; each says what it did."""

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
            with self.clock.on_machine(worker.off):
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
        if "worker-clock" in self.faults and self.random.random() < 0.5:
            self._keep_up(worker)  # only who has heard everything may find that a hold is over
        with self.clock.on_machine(worker.off):
            worker.look_at_ends()
        self._spoil_next_commit(worker)
        return self._guarded(worker, lambda: f"{worker.tend()} went on")

    def _keep_up(self, worker: SimWorker) -> None:
        for _ in range(9):
            self._read_on(worker)
            while worker.batches:
                before = len(worker.batches)
                self._note("commit", self._take_in(worker))
                if len(worker.batches) == before:
                    return

    def _take_in(self, worker: SimWorker) -> str:
        return self._guarded(worker, worker.commit)

    def _guarded(self, worker: SimWorker, work: Callable[[], str]) -> str:
        """What a worker does with the database, and how it takes what goes wrong there."""
        try:
            with self.clock.on_machine(worker.off):
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

    def _jump_worker_clock(self) -> str:
        worker = self.random.choice(self.workers)
        worker.off = timedelta(hours=self.random.choice((-1, 0, 1)))
        return f"{worker.name} {worker.off}"

    # ---- relays --------------------------------------------------------------------------------------------------

    def _relay(self) -> str:
        relay = self.random.choice(self.relays)
        dies = "relay-dies-after-commit" in self.faults and self.random.random() < 0.2
        return f"{relay.name} {relay.step(killed_after_commit=dies)}"

    def _kill_relay(self) -> str:
        relay = self.random.choice(self.relays)
        relay.end()
        return relay.name
