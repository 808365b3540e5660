"""Workers of the simulation: each believes what it last heard about its lanes, and the ledger knows better."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random

from bus_events import writers
from memory_ledger import directory
from portalbus.schemas.topics import lane_of
from portalbus.streams.decoding.contents import content_of
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.parking_limit import ParkingLimit
from simulator.broker import Broker
from simulator.clock import SimClock
from simulator.statements import SimSession
from simulator.store import Store

MOST_RECORDS = 6
HOLD = timedelta(minutes=2)
"""Long enough that what is missing may be asked for and come, at the pace at which things happen here."""
WRITERS = writers()


class SimWorker:
    """One worker process, as far as `edge` and `intake` decide what the ledger is given.

    `group_offsets` are what the consumer group has committed: a hint that runs ahead, because Faust counts what it has
    handed over.
    """

    def __init__(self, name: str, broker: Broker, store: Store, clock: SimClock, group_offsets: dict[str, int]) -> None:
        self.name = name
        self._broker = broker
        self._group_offsets = group_offsets
        self._clock = clock
        self._store = store
        self.session = SimSession(store, clock)
        self.ledger = Ledger(
            "",
            writers(),
            directory(),
            bounds=Bounds(gap_hold=HOLD),
            parking_limit=ParkingLimit(share=1),  # it counts by the hundred: its tests are elsewhere
        )
        self.ledger._session = self.session  # type: ignore[assignment]
        self.lanes: list[str] = []
        self.batches: list[list[Item]] = []
        self.frozen = False
        self.off = timedelta()
        """How far the clock of its machine is off."""
        self._reading: dict[str, int] = {}
        self._progress = LaneProgress()

    def assign(self, agencies: Iterable[str]) -> None:
        """These lanes are this worker's from now on: it drops what it holds, and reads on where it should."""
        self.lanes = list(agencies)
        self.batches = []
        self.ledger.open_lanes(self.lanes)
        self._reading = positions(self)
        self._progress = LaneProgress()
        self._progress.assigned({lane_of(agency): offset for agency, offset in self._reading.items()})

    def fetch(self, random: Random) -> int:
        """Reads a batch of some lanes and decodes it, while an earlier one may still wait for its commit."""
        if len(self.batches) >= 2:
            return 0
        items: list[Item] = []
        for agency in self.lanes:
            log = self._broker.lanes.get(lane_of(agency), [])
            first = self._reading[agency]
            for record in log[first : first + random.randint(0, MOST_RECORDS)]:
                items.append(Item(record, content_of(record.value, WRITERS)))
                self._reading[agency] = self._group_offsets[agency] = record.offset + 1
        if items:
            self.batches.append(items)
        return len(items)

    def commit(self) -> str:
        """Takes the oldest batch in. Raises ConnectionLost with the batch still in hand, LaneJump, ConstraintBroken."""
        taken = self.ledger.take_in(self.batches[0])
        self.batches.pop(0)
        self._progress.committed({lane_of(agency): offset for agency, offset in taken.next_offsets.items()})
        return f"judged {taken.judged} replayed {taken.replayed}"

    def look_at_ends(self) -> None:
        """Asks the broker where the lanes end, as the edge does from time to time."""
        if not self.lanes:
            return
        ends = {lane_of(agency): len(self._broker.lanes.get(lane_of(agency), [])) for agency in self.lanes}
        self._progress.seen_ends(ends, self.ledger.time.now())

    def tend(self) -> int:
        """The timers: what was heard, gaps, and the waiting room."""
        heard = {lane.removeprefix("lane."): at for lane, at in self._progress.heard_until().items()}
        for agency, until in heard.items():
            self._store.hear(agency, until)
        return self.ledger.tend_gaps(heard) + self.ledger.expire()

    def end(self) -> None:
        """Ends at once; what starts in its place has to be told its lanes."""
        self.batches, self.lanes, self._reading, self.frozen = [], [], {}, False
        self._progress = LaneProgress()
        self.session.fails.clear()

    @property
    def group_offsets(self) -> dict[str, int]:
        """What the group says of this worker's lanes."""
        return {agency: self._group_offsets[agency] for agency in self.lanes}


def positions(worker: SimWorker) -> dict[str, int]:
    """Where a worker reads on: where the ledger stands, whatever the group says."""
    return worker.ledger.next_offsets(worker.lanes)
