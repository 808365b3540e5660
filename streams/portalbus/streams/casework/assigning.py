"""A person gives a case to a body: written down with who and why, and said on the Government Portal's lane.

The command line and the console both decide through here. The step is judged, replayed, passed on and shown like every
other; who decided and why is kept beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import structlog

from portalbus.producers import Portal, Verdict
from portalbus.schemas.case_rules import is_reason
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.facts import facts_now
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.models import CaseStep, FeedbackProgressed
from portalbus.streams.ledger.case_desk import record_decision
from portalbus.streams.ledger.database import connect

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """How this process speaks for the centre. Each outbox needs a `portal` name of its own on the centre's lane.

    `kafka` holds librdkafka's properties for the login.
    """

    bootstrap: str
    registry_url: str
    outbox: Path
    portal: str = "decisions"
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def has_spoken(self) -> bool:
        """True when there is an outbox already, in which something may wait to be sent."""
        return (self.outbox / f"{GOVERNMENT_PORTAL}.{self.portal}.outbox").exists()

    def voice(self, *, verdicts: bool = True) -> Portal:
        """The centre's portal, to be started and closed by whoever asks."""
        return Portal(
            GOVERNMENT_PORTAL,
            self.portal,
            bootstrap=self.bootstrap,
            registry_url=self.registry_url,
            outbox=self.outbox,
            kafka=self.kafka,
            verdicts=verdicts,
        )


@dataclass(frozen=True, slots=True)
class Assigned:
    """A decision that was said: its event, who had the case, and what the judge said; None when it did not yet."""

    event_id: str
    owner: str
    verdict: Verdict | None


class NoReason(ValueError):
    """Nobody reads a decision without a reason of substance."""


def assigning_step(case_id: str, agency: str, why: str, at: datetime | None = None) -> FeedbackProgressed:
    """The step, complete; it is taken now unless given. Raises NoReason, and pydantic's ValidationError for no case."""
    if not is_reason(why, facts_now()):
        raise NoReason("the reason is too short")
    return FeedbackProgressed(
        case_id=case_id, step=CaseStep.TRANSFERRED, at=at or datetime.now(UTC), to_agency=agency, reason=why.strip()
    )


def assign(
    database_url: str,
    voice: Portal,
    step: FeedbackProgressed,
    who: str,
    *,
    wait_s: float | None,
    owner: str | None = None,
) -> Assigned:
    """Writes the decision down, says it, and waits up to `wait_s` seconds for its verdict (None: not at all).

    `owner` is who was seen to have the case when it was decided. What is refused here leaves no decision. Once it is
    said it is said: a database that fails then leaves the step with its reason, and not who decided.

    Raises CaseNotOpen, CaseMoved, EventRefused with the rules it breaks, and what a `Portal` raises.
    """
    event_id, to = str(uuid.uuid4()), step.to_agency or ""
    had, said = "", False
    try:
        with connect(database_url, application="assign") as connection:
            had = record_decision(connection, step.case_id, event_id, to, who=who, why=step.reason or "", owner=owner)
            voice.publish(step, event_id=event_id)
            said = True
    except psycopg.Error as error:
        if not said:
            raise
        log.error("assign.not-recorded", event_id=event_id, error=type(error).__name__)
    return Assigned(event_id, had, _verdict(voice, event_id, wait_s))


def _verdict(voice: Portal, event_id: str, wait_s: float | None) -> Verdict | None:
    """What the judge says within the time; that nobody can be asked any more undoes nothing."""
    try:
        return voice.wait_for_verdict(event_id, wait_s) if wait_s is not None else None
    except PortalbusError as error:
        log.warning("assign.verdict-unread", event_id=event_id, error=type(error).__name__)
        return None
