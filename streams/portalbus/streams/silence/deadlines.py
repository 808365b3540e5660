"""By when something should be heard again: three moments a source or event type, and the state that follows from them.

Pure. An event type is held to its learned cadence, in working time. A source is held to its own promise while it
makes one: its manifests say when the next one comes, day and night. A source that said good-bye, or never promised
anything, is held to the cadence of its absences, in working time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from portalbus.schemas.working_time import DAY_SECONDS, WorkingTime
from portalbus.streams.silence.cadence import FLOORS, Cadence, Floors, State

SERVICE_AFTER = timedelta(hours=8)
"""A source that was present for so long in one go is a service: its good-bye is for a restart, not for a month."""


ONE_DAY = Floors(DAY_SECONDS / 2, DAY_SECONDS * 3 / 4, DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class Patience:
    """What a silence means where nothing has to be learned; seconds.

    A source whose next manifest is `missed` promises late is silent, but not before `silent_after`. An alert about it
    is over once it has been heard for `silent_after` without a break, so that a flapping source has one alert.
    `restart` holds for a service that said good-bye, in working time. When a lane was not heard for `break_after`,
    everybody on it has `silent_after` to be heard again.
    """

    silent_after: float = 300.0
    missed: float = 5.0
    break_after: float = 120.0
    restart: Floors = ONE_DAY
    event_types: Floors = FLOORS


PATIENCE = Patience()


class Deadlines(NamedTuple):
    """From when on it is quiet, late, silent; all None while nothing is known."""

    quiet: datetime | None = None
    late: datetime | None = None
    silent: datetime | None = None

    def state_at(self, now: datetime) -> State:
        """The state at a moment up to which everything was heard."""
        for by, state in ((self.silent, State.SILENT), (self.late, State.LATE), (self.quiet, State.QUIET)):
            if by is not None and now > by:
                return state
        return State.OK


UNKNOWN = Deadlines()


def event_type_deadlines(
    cadence: Cadence, heard_at: datetime, working: WorkingTime, floors: Floors = FLOORS
) -> Deadlines:
    """The deadlines of an event type that was heard last at this moment, or is counted from it."""
    if not cadence.known:
        return UNKNOWN
    bounds = (cadence.bound(state, floors) for state in (State.QUIET, State.LATE, State.SILENT))
    return Deadlines(*(working.after(heard_at, bound or 0) for bound in bounds))


def promised_deadlines(promise_s: float, heard_at: datetime, patience: Patience = PATIENCE) -> Deadlines:
    """The deadlines of a source that promised its next manifest within so many seconds."""
    silent = max(patience.missed * promise_s, patience.silent_after)
    return Deadlines(*(heard_at + timedelta(seconds=silent * share) for share in (0.4, 0.6, 1.0)))


def absence_deadlines(
    absences: Cadence, service: bool, heard_at: datetime, working: WorkingTime, patience: Patience = PATIENCE
) -> Deadlines:
    """The deadlines of a source that promised nothing: by its earlier absences; of a service, a day at first."""
    if absences.known:
        return event_type_deadlines(absences, heard_at, working, patience.event_types)
    if not service:
        return UNKNOWN
    floors = patience.restart
    return Deadlines(*(working.after(heard_at, seconds) for seconds in (floors.quiet, floors.late, floors.silent)))
