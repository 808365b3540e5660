"""What each SQL statement of the product's ledger finds and does in the store.

A statement that is not known here raises. Only the bulk reading and writing of a batch is taken over whole
(`fetching._fetch_once`, `writing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from portalbus.streams.judgement.docket import Docket
from portalbus.streams.judgement.gaps import WAITS_FOR_GAP, Gap
from portalbus.streams.judgement.history import History
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.ledger import fetching, gap_tending, hearing, ledger, notices, order, parking_stop, steps
from simulator.clock import SimClock
from simulator.store import Store


class SimRows:
    """What a statement gives back."""

    def __init__(self, rows: Iterable[tuple[Any, ...]] = (), rowcount: int = 0) -> None:
        self._rows = list(rows)
        self.rowcount = rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Every row."""
        return self._rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


class SimConnection:
    """A connection in one transaction: what it writes waits in `staged` for the commit."""

    def __init__(self, store: Store, clock: SimClock) -> None:
        self.store = store
        self.clock = clock
        self.staged: list[Callable[[], None]] = []

    def pipeline(self) -> AbstractContextManager[None]:
        """Round trips cost nothing here."""
        return nullcontext()

    def cursor(self) -> AbstractContextManager[SimConnection]:
        """A connection is cursor enough."""
        return nullcontext(self)

    def execute(self, sql: str, values: Any = ()) -> SimRows:
        """One statement."""
        for known, what in STATEMENTS:
            if sql.startswith(known):
                return what(self, values)
        raise NotImplementedError(f"the simulator does not know this statement: {sql}")

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each row."""
        for row in rows:
            self.execute(sql, row)

    # ---- what the statements do ----------------------------------------------------------------------------------

    def take_order(self, _: Any) -> SimRows:
        return SimRows([(self.store.next_position, self.clock.true)])

    def time(self, _: Any) -> SimRows:
        return SimRows([(self.clock.true,)])

    def heard(self, _: Any) -> SimRows:
        over_at = {
            agency: min((gap.opened_at for gap in gaps if gap.hold_until is not None), default=None)
            for agency in self.store.next_offset
            for gaps in [[g for name, found in self.store.gaps.items() if name[0] == agency for g in found.values()]]
        }
        never = (None, None)
        return SimRows((agency, *self.store.hearing.get(agency, never), held) for agency, held in over_at.items())

    def open_lanes(self, values: Any) -> SimRows:
        def put() -> None:
            for agency in values[0]:
                self.store.next_offset.setdefault(agency, 0)

        self.staged.append(put)
        return SimRows()

    def lanes(self, values: Any) -> SimRows:
        return SimRows((name, self.store.next_offset[name]) for name in values[0] if name in self.store.next_offset)

    def advance_lanes(self, values: Any) -> SimRows:
        moved = [row for row in zip(*values[:3], strict=True) if self.store.next_offset[row[0]] == row[1]]
        self.staged.append(lambda: self.store.next_offset.update({agency: after for agency, _, after in moved}))
        return SimRows(rowcount=len(moved))

    def advance_order(self, values: Any) -> SimRows:
        self.staged.append(lambda: setattr(self.store, "next_position", values[0]))
        return SimRows()

    def nothing(self, _: Any) -> SimRows:
        return SimRows()

    def keys_over(self, values: Any) -> SimRows:
        up_to = dict(zip(values["lanes"], values["up_to"], strict=True))
        over = (
            seat.key
            for seat in self.store.waiting.values()
            if seat.until < up_to.get(seat.awaits, values["others"]) and seat.rule != WAITS_FOR_GAP
        )
        return SimRows((key,) for key in dict.fromkeys(over))

    def overdue(self, _: Any) -> SimRows:
        found: dict[str, datetime] = {}
        for name, source in self.store.sources.items():
            if source.held > 0:
                untils = [gap.hold_until for gap in self.store.gaps[name].values() if gap.hold_until]
                over_at = min(untils, default=datetime.fromtimestamp(0, source.last_heard_at.tzinfo))
                found[source.agency] = min(over_at, found.get(source.agency, over_at))
        return SimRows(found.items())

    def unanswered(self, values: Any) -> SimRows:
        due: list[tuple[int, datetime, tuple[Any, ...]]] = []
        for name, gaps in self.store.gaps.items():
            asked = sorted((gap.ask_at, *gap.name) for gap in gaps.values() if gap.ask_at and gap.ask_at <= values[0])
            if self.store.sources[name].status == "active":
                due += [
                    (turn, at, (*name, *gap_columns(gaps[epoch, first])))
                    for turn, (at, epoch, first) in enumerate(asked)
                ]
        return SimRows([row for _, _, row in sorted(due, key=lambda found: found[:2])][: values[1]])

    def anything_to_ask(self, values: Any) -> SimRows:
        return SimRows(self.unanswered([*values, 1]))

    def asked(self, values: Any) -> SimRows:
        asked, ask_at, agency, portal, epoch, first = values

        def put() -> None:
            gaps = self.store.gaps[agency, portal]
            gaps[epoch, first] = replace(gaps[epoch, first], asked=asked, ask_at=ask_at)

        self.staged.append(put)
        return SimRows()


def gap_columns(gap: Gap) -> tuple[Any, ...]:
    """A gap as the statements read it."""
    return (gap.epoch, gap.first, gap.last, gap.opened_at, gap.state, gap.hold_until, gap.asked, gap.ask_at)


STATEMENTS: tuple[tuple[str, Callable[[SimConnection, Any], SimRows]], ...] = (
    (order.TAKE, SimConnection.take_order),
    ("select clock_timestamp()", SimConnection.time),
    (hearing.HEARD, SimConnection.heard),
    ("insert into ledger.lane (agency)", SimConnection.open_lanes),
    ("select agency, next_offset from ledger.lane", SimConnection.lanes),
    (ledger.ADVANCE, SimConnection.advance_lanes),
    ("update ledger.position set next", SimConnection.advance_order),
    ("select pg_notify", SimConnection.nothing),
    (fetching.KEYS_OVER, SimConnection.keys_over),
    (gap_tending.OVERDUE, SimConnection.overdue),
    (gap_tending.ANYTHING_TO_ASK, SimConnection.anything_to_ask),
    (gap_tending.UNANSWERED, SimConnection.unanswered),
    (gap_tending.ASKED, SimConnection.asked),
    (parking_stop.OPEN_STOP, SimConnection.nothing),
    (steps.WRITE, SimConnection.nothing),
)
"""What the ledger's statements do, by how they begin."""


class ConnectionLost(Exception):
    """The database went away; the caller may try again, and does not know what became of its transaction."""


class SimSession:
    """Stands where `Session` stands. `fails` says what happens to the next commits: rolled back, or not heard of."""

    def __init__(self, store: Store, clock: SimClock) -> None:
        self._store = store
        self._clock = clock
        self.fails: list[str] = []

    def transact(self, work: Callable[[Any], Any]) -> Any:
        """Runs `work` in a transaction. Raises ConnectionLost where the real one would try again for ever."""
        connection = SimConnection(self._store, self._clock)
        found = work(connection)
        how = self.fails.pop() if self.fails else ""
        if how != "rolled-back":
            for write in connection.staged:
                write()
        if how:
            raise ConnectionLost(how)
        return found

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def in_memory() -> Iterator[None]:
    """The product's ledger reads and writes whole batches in the store while inside."""

    def fetch_once(connection: SimConnection, wanted: Any, history: History, _: Any) -> None:
        connection.store.fetch_once(wanted, history)

    @contextmanager
    def writing(connection: SimConnection, docket: Docket, judged_at: datetime) -> Iterator[None]:
        connection.store.check(docket)
        connection.staged.append(lambda: connection.store.write(docket, judged_at))
        yield

    def write_placed(
        connection: SimConnection, placed: Iterable[tuple[int, Notice]], made_at: Callable[[int], datetime]
    ) -> None:
        rows = list(placed)
        connection.staged.append(lambda: connection.store.put_notices(rows, made_at))

    with (
        patch.object(fetching, "_fetch_once", fetch_once),
        patch.object(ledger, "writing", writing),
        patch.object(notices, "write_placed", write_placed),
    ):
        yield
