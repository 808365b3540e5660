"""The parts of one seed's bus, and what is written down of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from portalbus.schemas.topics import verdicts_of
from simulator.broker import Broker, Committed
from simulator.clock import SimClock
from simulator.disk import Disk, can_listen
from simulator.invariants import Watch
from simulator.portals import Bombs, SimPortal
from simulator.relays import SimRelay
from simulator.store import Store
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
    "worker-clock",
    "centre-away",
    "broker-clock",
    "backup-restored",
    "abandoned",
)


@dataclass
class Parts:
    """Everything of one seed; without `faults`, some are drawn."""

    seed: int
    root: Path
    faults: frozenset[str] = frozenset()
    trace: list[str] = field(default_factory=list)
    excused_lost: set[str] = field(default_factory=set)
    """Events that went with a disk: restored from an older copy before they were delivered."""
    lost_records: set[str] = field(default_factory=set)
    """Events of which the broker has acknowledged and forgotten a record."""
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
        self.portals: dict[str, SimPortal] = {}
        self.workers: list[SimWorker] = []
        self.relays: list[SimRelay] = []
        self.retries: dict[str, list[Said]] = {source: [] for source in SOURCES}
        if not self.faults:
            most = [fault for fault in FAULTS if fault != "power-cut" or can_listen()]
            self.faults = frozenset(self.random.sample(most, self.random.randint(0, 8)))
        self.faults_ever = self.faults

    def _note(self, name: str, what: object) -> None:
        self.happened[name] += 1
        self.trace.append(f"{len(self.trace):4} {name:18} {what if what is not None else ''}".rstrip())

    @property
    def digest(self) -> str:
        """Of the trace: two runs of one seed have the same."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    def _said_to(self, portal: SimPortal) -> list[Committed]:
        """What the centre has said to a portal's agency."""
        return self.broker.topics.get((verdicts_of(portal.agency), 0), [])
