"""The caseworker: folds the ledger into casework, lets timers fire, and tells what is not done in time.

A step is a few transactions. Each takes the place first, so two caseworkers cannot do the same; rows and place are
written together, so nothing is folded twice. Urgent cases go first, whatever else is queued.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.law.reckoning import day_of
from portalbus.schemas.models import FeedbackReceived
from portalbus.streams.casework.alerting import bring_up_to_date
from portalbus.streams.casework.deriving import EscalationKind, Law, derive
from portalbus.streams.casework.folding import fold
from portalbus.streams.casework.law_record import enact, law_after, law_numbered
from portalbus.streams.casework.life import Life
from portalbus.streams.casework.reading import CaseEvent, events_between, unfolded_events, urgent_cases
from portalbus.streams.casework.routing import routed
from portalbus.streams.casework.store import (
    FOLD,
    forget_cases,
    forget_everything,
    parents_of,
    read_lives,
    read_received,
    write_lives,
    write_routings,
    write_rows,
)
from portalbus.streams.casework.timers import due_cases, moments
from portalbus.streams.casework.turns import Portion, Turns

log = structlog.get_logger(__name__)

SLICE = 2_000
"""Positions folded in one transaction at most."""
SLICE_SECONDS = 0.2
"""About so long does such a transaction take at most; an urgent case waits for one of them."""
URGENT_SLICE = 500
"""Urgent cases folded in one transaction, ahead of everything else that is queued."""
RECKONED_ANEW = 1_000
"""Cases of an older law that are reckoned anew in one transaction."""
PATIENCE = timedelta(minutes=15)
"""How long after it was due something may still be on a lane that is not read, before it is late all the same."""
URGENT, ORDINARY = (EscalationKind.ESCALATED,), (EscalationKind.OVERDUE, EscalationKind.PROGRESS_DUE)

TAKE = "select position, urgent, law, (select next - 1 from ledger.position), fold from casework.place for update"
OLD_LAW = """
select distinct case_id from casework.deadline
where law < %s and met_at is null and state <> 'VOID' limit %s"""


OF_THE_GONE = """
select distinct d.case_id
from casework.deadline d join casework.handling h on h.case_id = d.case_id and h.number = d.handling
where d.met_at is null and d.state <> 'VOID' and (h.ended_at is null or d.duty in ('PUBLISH', 'CHILDREN'))
  and split_part(d.agency, '.', 1) = any(%s)"""
SETTLE = """
delete from casework.ahead a using ledger.event e
where e.agency = a.agency and e.lane_offset = a.lane_offset and e.final returning a.case_id, e.status"""


class Place(NamedTuple):
    """Up to where the ledger is folded; `until` is where the law in force ends, or the ledger."""

    position: int
    urgent: int
    law: Law
    until: int
    end: int


class Caseworker:
    """Does casework over one connection, in autocommit mode, of its own. Raises psycopg.Error, UndecodableRecord.

    `enacted` is the law that this process was started with; its number is none yet. `turns` lets another thread of it
    go ahead.
    """

    def __init__(
        self,
        connection: Connection[Any],
        writers: WriterSchemas,
        enacted: Law,
        *,
        patience: timedelta = PATIENCE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        slice_: int = SLICE,
        turns: Turns | None = None,
    ) -> None:
        self._connection = connection
        self._writers = writers
        self._enacted = enacted
        self._patience = patience
        self._clock = clock
        self._slice = Portion(slice_, SLICE_SECONDS)
        self._turns = turns or Turns()
        self._law: Law | None = None
        self._day: date | None = None
        """The day on which it was last looked whose body is no more."""
        self._untold: set[EscalationKind] = set(EscalationKind)
        """Kinds whose alerts may differ from the rows."""

    def start(self) -> None:
        """Writes down the law in force, if it is another one than before. What other code folded is folded anew."""
        enacted = self._enacted
        with self._connection.transaction():
            place = self._connection.execute(TAKE).fetchone()
            after = max(place[0], place[1]) if place else 0
            number = enact(self._connection, enacted, after, self._clock())
            if place and place[4] != FOLD:
                log.info("casework.folds-anew", before=place[4], now=FOLD)
                forget_everything(self._connection)
        if number is not None:
            log.info(
                "casework.law",
                number=number,
                calendar=enacted.calendar.version,
                regimes=enacted.regimes.version,
                directory=enacted.directory.version,
                competence=enacted.competence.version,
            )

    def forget(self) -> None:
        """Empties casework: the next steps fold the ledger anew, by the laws that were in force."""
        with self._connection.transaction():
            self._connection.execute(TAKE)
            forget_everything(self._connection)
        self._law, self._untold = None, set(EscalationKind)

    def step(self) -> bool:
        """Does what there is to do now; True when there is more."""
        with self._turn() as place:
            self._settle_ahead(place)
            urgent = self._fold_urgent(place)
        with self._turn() as place:
            self._fire(place)
            if not urgent:
                self._tell(URGENT)
        with self._turn() as place:
            behind = self._fold_slice(place)
            old = self._reckon_anew(place)
            self._follow_heirs(place)
        if not behind:
            with self._turn():
                self._tell(ORDINARY)
        return urgent or behind or old

    @contextmanager
    def _turn(self) -> Iterator[Place]:
        """A transaction that has the place, after whatever is urgent."""
        self._turns.let_urgent_ahead()
        with self._transaction():
            yield self._take()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction; what is remembered of one that was rolled back is not so."""
        try:
            with self._connection.transaction():
                yield
        except BaseException:
            self._law, self._day, self._untold = None, None, set(EscalationKind)
            raise

    def fold_ahead(self, told: Iterable[CaseEvent], may: Callable[[Life | None, CaseEvent, Law], bool]) -> list[str]:
        """Folds events that are not judged yet, in the open transaction; returns the ids of those that it folded."""
        place, found = self._take(), list(told)
        known = read_lives(self._connection, {event.case_id for event in found})
        folded: list[str] = []
        changed: dict[str, tuple[Life, int]] = {}
        for event in found:
            life, position = known.get(event.case_id, (None, 0))
            if (life is not None and event.event_id in life.seen) or not may(life, event, place.law):
                continue
            after = fold(life, event)
            if after is not None:
                known[event.case_id] = changed[event.case_id] = (after, position)
                folded.append(event.event_id)
        self._write(place, changed, [event.case_id for event in found if event.event_id in folded])
        return folded

    def tell_urgent(self) -> None:
        """Brings the alerts of urgent cases up to date."""
        with self._transaction():
            self._take()
            self._tell(URGENT)

    def _settle_ahead(self, place: Place) -> None:
        """Lets go of what was folded ahead and is judged now; a case of which something was refused is folded anew."""
        settled = self._connection.execute(SETTLE).fetchall()
        refused = sorted({case_id for case_id, status in settled if status != "ACCEPTED"})
        if refused:
            forget_cases(self._connection, refused)
            self._untold |= set(EscalationKind)
            self._fold(place, unfolded_events(self._connection, refused, place.until, self._writers))
            self._rederive(place, parents_of(self._connection, refused))

    def _take(self) -> Place:
        row = self._connection.execute(TAKE).fetchone()
        if row is None:
            raise LookupError("casework.place has no row: were the migrations applied?")
        position, urgent, number, end, _ = row
        if position > end:  # another ledger than it was
            forget_everything(self._connection)
            position, urgent, number = 0, 0, 0
            self._law = None
        following = law_after(self._connection, number)
        while following is not None and position >= following[1]:
            self._law, _ = following
            number = self._law.number
            self._connection.execute("update casework.place set law = %s", (number,))
            following = law_after(self._connection, number)
        if self._law is None or self._law.number != number:
            found = law_numbered(self._connection, number)
            if found is None:
                raise LookupError("casework knows no law: call start() first")
            self._law = found[0]
        return Place(position, urgent, self._law, min(end, following[1] if following else end), end)

    def _fold_urgent(self, place: Place) -> bool:
        """Folds the next urgent cases; True when there are more of them."""
        after = max(place.urgent, place.position)
        cases, upto = urgent_cases(self._connection, after, place.until, URGENT_SLICE)
        if cases:
            self._fold(place, unfolded_events(self._connection, cases, upto, self._writers))
        self._connection.execute("update casework.place set urgent = %s", (max(after, upto),))
        return upto < place.until

    def _fold_slice(self, place: Place) -> bool:
        upto = min(place.until, place.position + self._slice.size)
        if upto > place.position:
            began = time.monotonic()
            self._fold(place, events_between(self._connection, place.position, upto, self._writers))
            self._connection.execute("update casework.place set position = %s", (upto,))
            self._slice.took(upto - place.position, time.monotonic() - began)
        return upto < place.end

    def _fold(self, place: Place, events: Iterable[CaseEvent]) -> None:
        told = list(events)
        if not told:
            return
        lives: dict[str, tuple[Life | None, int]] = dict.fromkeys((event.case_id for event in told), (None, 0))
        lives |= read_lives(self._connection, lives)
        changed: dict[str, tuple[Life, int]] = {}
        for event in told:
            life, position = lives[event.case_id]
            if event.position <= position:
                continue  # an urgent case, folded ahead of its turn
            folded = fold(life, event)
            if folded is None:
                log.warning("casework.case-unknown", case_id=event.case_id, position=event.position)
                continue
            lives[event.case_id] = changed[event.case_id] = (folded, event.position)
        self._write(
            place, changed, [event.case_id for event in told if isinstance(event.event.payload, FeedbackReceived)]
        )

    def _write(self, place: Place, changed: Mapping[str, tuple[Life, int]], received: Collection[str]) -> None:
        """Keeps lives with what follows from them, and from those received for the cases that were split into them."""
        lives = [life for life, _ in changed.values()]
        write_lives(self._connection, changed.values())
        new = changed.keys() & set(received)
        write_routings(self._connection, [routed(changed[case_id][0], place.law) for case_id in sorted(new)])
        self._derive(place, lives)
        self._rederive(place, set(parents_of(self._connection, new)) - changed.keys())

    def _fire(self, place: Place) -> None:
        """Judges the deadlines that have become due."""
        due = due_cases(self._connection, place.position, self._clock(), self._patience)
        self._rederive(place, due)

    def _reckon_anew(self, place: Place) -> bool:
        """Reckons open cases by the law in force that an older one was applied to; True when there may be more."""
        old = [row[0] for row in self._connection.execute(OLD_LAW, (place.law.number, RECKONED_ANEW))]
        self._rederive(place, old)
        return bool(old)

    def _follow_heirs(self, place: Place) -> None:
        """Once a day: what a body owes that is no more is owed by who took over, or is a person's to give away."""
        today = day_of(self._clock())
        if today != self._day:
            gone = list(place.law.directory.gone(today))
            self._rederive(place, [row[0] for row in self._connection.execute(OF_THE_GONE, (gone,))])
            self._day = today

    def _rederive(self, place: Place, case_ids: Collection[str]) -> None:
        if case_ids:
            self._derive(place, [life for life, _ in read_lives(self._connection, case_ids).values()])

    def _derive(self, place: Place, lives: Iterable[Life]) -> None:
        at = moments(self._connection, self._clock(), self._patience)
        all_ = list(lives)
        received = read_received(self._connection, all_)
        changed = write_rows(self._connection, [derive(life, place.law, at, received) for life in all_])
        self._untold |= changed

    def _tell(self, kinds: Collection[EscalationKind]) -> None:
        """Brings alerts up to date with the rows. Takes the ledger's order: nothing comes after it in a transaction."""
        untold = self._untold.intersection(kinds)
        if not untold:
            return
        for alert in bring_up_to_date(self._connection, untold, None, self._clock()):
            log.warning("casework.alert", kind=alert.kind, status=alert.status.value, agency=alert.agency)
        self._untold -= untold
