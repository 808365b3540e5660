"""The rules of competence hand on what the Government Portal was sent, and nobody took up.

A decision is written down first and said then, under an id of its own: whoever is killed in between says it again, the
same, and the ledger takes it once. See docs/adr/0046-rules-decide-where-nobody-else-has.md.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from psycopg import Connection

from portalbus.producers import Portal
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.facts import legal_day
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.law.limits import Limits
from portalbus.schemas.law.ruling import Ruling, reason
from portalbus.streams.casework.assigning import assigning_step
from portalbus.streams.ledger.case_desk import CaseMoved, CaseNotOpen, record_decision
from portalbus.streams.reading.held import HeldCase, InForce, held

log = structlog.get_logger(__name__)

RULES = "rules"
"""Who decided, and the name of the source that says it."""
AGAIN_AFTER, AGAIN_UNTIL = timedelta(seconds=15), timedelta(minutes=30)
"""When a decision that was not judged is said again; a person may decide about the case an hour after it."""
WHOLE_LOOK_SECONDS = 600.0
LOOK_SECONDS = 0.1

LOCK = "select from ledger.case where case_id = %s for update"
DECIDED_AT = "select decided_at from ledger.case_decision where event_id = %s"
# What the Government Portal has said and nobody has heard may be about these cases.
LAGS = """
select coalesce(min(heard_until) < now() - interval '1 minute', false) from ledger.hearing where agency = %s"""
JUDGED = """
select event_id::text, rule from ledger.event where agency = %s and event_id = any(%s::uuid[]) and claims_id"""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """A case that goes to a body by `rules`, and what they saw; `judged` is what the judge said, None if nothing yet.

    `event_id` is None where it was only asked what the rules would do.
    """

    case_id: str
    to: str
    rules: tuple[str, ...]
    legal_basis: tuple[str, ...]
    field: str | None
    area: str | None
    level: str | None
    day: str
    why: str
    event_id: str | None = None
    judged: str | None = None

    @property
    def is_refused(self) -> bool:
        """True when the judge refused it: a person has to decide then."""
        return self.judged not in (None, "event.accepted", "event.duplicate")


def ruled(connection: Connection[Any], in_force: InForce) -> Iterator[HandedOn]:
    """The cases that the rules would hand on, urgent ones first, then the oldest."""
    for case in held(connection):
        ruling = in_force.ruling(case)
        if ruling.to is not None and not case.is_decided:
            yield _handed(case, ruling, ruling.to)


class RuleDesk:
    """Hands cases on through an autocommitting connection and the voice of the Government Portal."""

    def __init__(
        self,
        connection: Connection[Any],
        voice: Portal,
        competence: Competence,
        directory: AgencyDirectory,
        limits: Limits,
    ) -> None:
        self._connection = connection
        self._voice = voice
        self._law = (competence, directory, limits)
        self._after = 0
        self._whole_look_at = 0.0

    def hand_on(self, most: int) -> list[HandedOn]:
        """Hands on so many cases at most, and says again what somebody wrote down and did not say.

        Looks at what changed since the last time, and now and then at everything. Raises what a `Portal` raises; what
        was written down by then is said the next time.
        """
        (lags,) = self._connection.execute(LAGS, (GOVERNMENT_PORTAL,)).fetchone() or (False,)
        if lags:
            log.warning("handing-on.lane-lags", agency=GOVERNMENT_PORTAL)
            return []
        if time.monotonic() >= self._whole_look_at:
            self._after, self._whole_look_at = 0, time.monotonic() + WHOLE_LOOK_SECONDS
        in_force = InForce(*self._law, legal_day(datetime.now(UTC)))
        done: list[HandedOn] = []
        seen = self._after
        for case in held(self._connection, after=self._after):
            ruling = in_force.ruling(case)
            if case.is_decided:
                self._say_again(case)
            elif ruling.to is not None:
                if len(done) == most:
                    return done
                done.extend(self._decide(case, ruling, ruling.to))
            seen = max(seen, case.position)
        self._after = seen
        return done

    def judged(self, handed: Sequence[HandedOn], seconds: float, pause: Callable[[float], bool]) -> list[HandedOn]:
        """The same with what the judge said to each, for so many seconds at most, or until `pause` says to end."""
        deadline = time.monotonic() + seconds
        ids = [one.event_id for one in handed]
        while True:
            said = dict(self._connection.execute(JUDGED, (GOVERNMENT_PORTAL, ids)).fetchall())
            if len(said) == len(ids) or time.monotonic() >= deadline or pause(LOOK_SECONDS):
                return [replace(one, judged=said.get(one.event_id)) for one in handed]

    def _decide(self, case: HeldCase, ruling: Ruling, to: str) -> Iterator[HandedOn]:
        one = replace(_handed(case, ruling, to), event_id=str(uuid.uuid4()))
        decided_at = self._write_down(one)
        if decided_at is not None:
            self._say(one.case_id, to, one.why, decided_at, str(one.event_id))
            yield one

    def _write_down(self, one: HandedOn) -> datetime | None:
        """When the decision was written down; None where somebody was faster, in the same transaction looked at."""
        with self._connection.transaction():
            self._connection.execute(LOCK, (one.case_id,))
            case = next(held(self._connection, one.case_id), None)
            if case is None or case.is_decided:
                return None
            event_id = str(one.event_id)
            try:
                record_decision(
                    self._connection,
                    one.case_id,
                    event_id,
                    one.to,
                    who=RULES,
                    why=one.why,
                    owner=GOVERNMENT_PORTAL,
                )
            except (CaseMoved, CaseNotOpen):
                return None
            (decided_at,) = self._connection.execute(DECIDED_AT, (event_id,)).fetchone() or (None,)
            return decided_at

    def _say_again(self, case: HeldCase) -> None:
        """Says what was written down by one who was killed, or whose word is still on its way: it is taken once."""
        if not case.pending or case.decided_by != RULES or case.decided_at is None or case.age is None:
            return
        if AGAIN_AFTER <= case.age <= AGAIN_UNTIL:
            self._say(case.case_id, str(case.to_agency), str(case.why), case.decided_at, str(case.event_id))

    def _say(self, case_id: str, to: str, why: str, at: datetime, event_id: str) -> None:
        try:
            self._voice.publish(assigning_step(case_id, to, why, at), event_id=event_id, occurred_at=at)
        except EventRefused as refused:  # after an hour the case is on a person's list
            log.error("handing-on.refused", case_id=case_id, rule=refused.rule)


def _handed(case: HeldCase, ruling: Ruling, to: str) -> HandedOn:
    rules = ruling.routing.rules
    return HandedOn(
        case_id=case.case_id,
        to=to,
        rules=tuple(rule.id for rule in rules),
        legal_basis=tuple(rule.legal_basis for rule in rules),
        field=case.field,
        area=case.area,
        level=ruling.routing.level,
        day=case.matter.on.isoformat(),
        why=reason(ruling, case.matter),
    )
