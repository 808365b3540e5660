"""The steps behind the buttons. Each is what `portalbus parked`, `gaps`, `reconcile`, `cases assign` and `sources` do,
noted in the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from psycopg import Connection

from portalbus.connectors.console.journal import What, begin_deed, end_deed, end_lost_deeds
from portalbus.producers import Portal
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import EventRefused, OutboxDamaged, OutboxFull, OutboxUnavailable, PortalbusError
from portalbus.schemas.models import VerdictStatus
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.casework.assigning import Speaker, assign, assigning_step
from portalbus.streams.ledger.case_desk import CaseMoved, CaseNotOpen
from portalbus.streams.ledger.database import WORKER_OPTIONS, Session, connect
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.gap_desk import ask_now, close_gap
from portalbus.streams.ledger.source_desk import SourceStatus, SourceUnknown, set_source
from portalbus.streams.parking.deciding import Outcome, Parking
from portalbus.streams.reconciling.lane_reader import LaneReader
from portalbus.streams.reconciling.reconciler import Reconciler

log = structlog.get_logger(__name__)

NEEDS_REGISTRY = frozenset({What.REDRIVE, What.DISCARD, What.RECONCILE})
FOLLOW_UP_S, LOOK_EVERY_S, TURN_S, VERDICT_S = 20.0, 0.5, 20.0, 8.0
STATUS = {What.BLOCK: SourceStatus.BLOCKED, What.UNBLOCK: SourceStatus.ACTIVE}


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody wants done: to what of which agency, and why."""

    what: What
    agency: str
    why: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: the name of a text, and what fills its places."""

    outcome: str
    figures: dict[str, Any] = field(default_factory=dict)


class Stopping(Exception):
    """The process ends; what was begun is left for the worker's own reconciliation."""


class Hands:
    """Does what the console's buttons say. Blocks: call it in a thread."""

    def __init__(
        self, database_url: str, registry_url: str = "", bootstrap: str = "", speaker: Speaker | None = None
    ) -> None:
        self._database_url = database_url
        self._registry_url = registry_url
        self._bootstrap = bootstrap
        self._speaker = speaker
        self._speaking = threading.Lock()
        self._voice: Portal | None = None
        self._stopping = threading.Event()

    def can(self, what: What) -> bool:
        """False for what needs the schema registry or an outbox, where the process was not told of one."""
        if what is What.ASSIGN:
            return self._speaker is not None
        return bool(self._registry_url) or what not in NEEDS_REGISTRY

    def open(self) -> None:
        """Sends what an earlier process has left in the outbox, and notes of which steps nobody will hear any more."""
        try:
            with self._connected(autocommit=True) as connection:
                end_lost_deeds(connection)
        except psycopg.OperationalError as error:
            log.warning("office.journal-away", error=type(error).__name__)
        if self._speaker is not None and self._speaker.has_spoken:
            try:
                self._speak(self._speaker)
            except PortalbusError as error:
                log.error("office.outbox", error=type(error).__name__, detail=str(error))

    def _speak(self, speaker: Speaker) -> Portal:
        """The centre's portal: from the first decision on it delivers in the background, for as long as this runs."""
        with self._speaking:
            self._rest()
            if self._voice is None:
                self._voice = speaker.voice().start()
            return self._voice

    def begin(self, connection: Connection[Any], who: str, step: Step) -> int:
        """Notes in the journal that it is being done."""
        return begin_deed(connection, who, step.agency, step.what, dict(step.about), step.why)

    def finish(self, number: int, who: str, step: Step) -> Ended:
        """Does it, and notes what came of it; whatever goes wrong is an outcome too."""
        doing: dict[What, Callable[[str, Step], Ended]] = {
            What.REDRIVE: self._decide_parked,
            What.DISCARD: self._decide_parked,
            What.CLOSE_GAP: self._close_gap,
            What.ASK: self._ask,
            What.RECONCILE: self._reconcile,
            What.ASSIGN: self._assign,
            What.BLOCK: self._set_source,
            What.UNBLOCK: self._set_source,
        }
        try:
            ended = doing[step.what](who, step)
        except (OutboxDamaged, OutboxFull, OutboxUnavailable) as error:
            log.error("office.outbox", what=step.what.value, error=type(error).__name__, detail=str(error))
            ended = Ended("outbox")
        except (psycopg.OperationalError, PortalbusError) as error:
            log.warning("office.step-unreachable", what=step.what.value, error=type(error).__name__)
            ended = Ended("unreachable")
        except Stopping:
            ended = Ended("interrupted")
        except Exception as error:
            log.error("office.step-failed", what=step.what.value, error=type(error).__name__, exc_info=error)
            ended = Ended("failed")
        journal = Session(self._database_url, application="office", pause=self._pause)
        try:  # a database that is away is waited for: what was done is in the journal, or the process ends
            journal.transact(lambda connection: end_deed(connection, number, ended.outcome, ended.figures))
        except Stopping:
            log.error("office.step-unnoted", number=number, outcome=ended.outcome)
            return ended
        finally:
            journal.close()
        log.info("office.step", number=number, what=step.what.value, agency=step.agency, outcome=ended.outcome)
        return ended

    def stop(self) -> None:
        """Ends what takes long, at its next rest, and gives the outbox a moment to be sent. Blocks for that."""
        self._stopping.set()
        with self._speaking:
            if self._voice is not None:
                self._voice.close()

    def _decide_parked(self, who: str, step: Step) -> Ended:
        place = (step.agency, int(step.about["lane_offset"]))
        decider = Decider(who, step.why)
        with self._connected(options=WORKER_OPTIONS, autocommit=True) as connection:
            parking = Parking(connection, self._writers().lane_writers(), directory())
            decide = parking.redrive if step.what is What.REDRIVE else parking.discard
            outcomes: list[Outcome] = list(decide([place], decider))
        if not outcomes:
            return Ended("nothing")
        (one,) = outcomes
        return Ended("still" if one.parked else "done", {"rule": one.rule, "status": one.status})

    def _close_gap(self, who: str, step: Step) -> Ended:
        about = step.about
        with self._connected() as connection:
            closed = close_gap(
                connection,
                step.agency,
                about["portal"],
                int(about["first"]),
                int(about["last"]),
                who=who,
                why=step.why,
                epoch=int(about["epoch"]),
            )
        return Ended("done", {"n": sum(gap.missing for gap in closed)}) if closed else Ended("nothing")

    def _ask(self, who: str, step: Step) -> Ended:
        with self._connected() as connection:
            asked = ask_now(connection, step.agency, step.about["portal"])
        return Ended("done", {"n": asked}) if asked else Ended("nothing")

    def _assign(self, who: str, step: Step) -> Ended:
        if self._speaker is None:
            return Ended("unreachable")
        try:
            said = assigning_step(step.about["case_id"], step.about["to"], step.why)
            voice, owner = self._speak(self._speaker), step.about["owner"]
            assigned = assign(self._database_url, voice, said, who, wait_s=VERDICT_S, owner=owner)
        except CaseNotOpen:
            return Ended("nothing")
        except CaseMoved:
            return Ended("moved")
        except EventRefused as refused:
            return Ended("refused", {"rule": refused.findings[0].rule})
        verdict = assigned.verdict
        if verdict is None:
            return Ended("said", {"event_id": assigned.event_id})
        outcome = "done" if verdict.status is VerdictStatus.ACCEPTED else "rejected"
        return Ended(outcome, {"rule": verdict.rule, "status": verdict.status.value, "event_id": assigned.event_id})

    def _set_source(self, who: str, step: Step) -> Ended:
        status = STATUS[step.what]
        try:
            with self._connected() as connection:
                changed = set_source(connection, step.agency, step.about["portal"], status, who=who, why=step.why)
        except SourceUnknown:
            changed = False
        return Ended("done" if changed else "nothing")

    def _reconcile(self, who: str, step: Step) -> Ended:
        writers = self._writers().lane_writers()
        lanes = LaneReader(self._bootstrap, writers) if self._bootstrap else None
        with Reconciler(self._database_url, writers, lanes, rest=self._rest) as reconciler:
            if not self._waits_for(lambda: reconciler.wait_for_turn(LOOK_EVERY_S), TURN_S):
                return Ended("busy")
            began = reconciler.now()
            reconciler.run([step.agency])
            # What portals are asked to send may take them a while: the workers go on listening for it.
            self._waits_for(lambda: reconciler.follow_up([step.agency]), FOLLOW_UP_S)
            repairs = reconciler.repairs_since([step.agency], began)
        healed = sum(repair.healed_at is not None for repair in repairs)
        return Ended("done" if repairs else "same", {"n": len(repairs), "healed": healed})

    def _waits_for(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            self._rest()
            self._stopping.wait(LOOK_EVERY_S)
        return True

    def _rest(self) -> None:
        if self._stopping.is_set():
            raise Stopping

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopping

    def _writers(self) -> SchemaIds:
        return SchemaIds(SchemaRegistry(self._registry_url))

    def _connected(self, *, options: str = "", autocommit: bool = False) -> Connection[Any]:
        return connect(self._database_url, application="office", options=options, autocommit=autocommit)
