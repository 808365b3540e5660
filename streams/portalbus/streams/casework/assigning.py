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

from portalbus.producers import Portal, Verdict
from portalbus.schemas.case_rules import is_reason
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.models import CaseStep, FeedbackProgressed
from portalbus.streams.ledger.case_desk import record_decision
from portalbus.streams.ledger.database import connect


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


@dataclass(frozen=True, slots=True)
class Assigned:
    """A decision that was said: its event, who had the case, and what the judge said; None when it did not yet."""

    event_id: str
    owner: str
    verdict: Verdict | None


class NoReason(ValueError):
    """Nobody reads a decision without a reason of substance."""


def assigning_step(case_id: str, agency: str, why: str) -> FeedbackProgressed:
    """The step, complete. Raises NoReason, and pydantic's ValidationError for what is no case."""
    if not is_reason(why):
        raise NoReason("the reason is too short")
    return FeedbackProgressed(
        case_id=case_id, step=CaseStep.TRANSFERRED, at=datetime.now(UTC), to_agency=agency, reason=why.strip()
    )


def assign(
    database_url: str, speaker: Speaker, step: FeedbackProgressed, who: str, *, wait_s: float | None
) -> Assigned:
    """Writes the decision down, says it, and waits up to `wait_s` seconds for its verdict (None: not at all).

    What is refused here leaves no decision. A process that ends in between leaves the step with its reason, and not who
    decided. Raises CaseNotOpen, EventRefused with the rules it breaks, and what a `Portal` raises.
    """
    event_id = str(uuid.uuid4())
    portal = Portal(
        GOVERNMENT_PORTAL,
        speaker.portal,
        bootstrap=speaker.bootstrap,
        registry_url=speaker.registry_url,
        outbox=speaker.outbox,
        kafka=speaker.kafka,
        verdicts=wait_s is not None,
    )
    with portal:
        with connect(database_url, application="assign") as connection:
            owner = record_decision(
                connection, step.case_id, event_id, step.to_agency or "", who=who, why=step.reason or ""
            )
            portal.publish(step, event_id=event_id)
        verdict = portal.wait_for_verdict(event_id, wait_s) if wait_s is not None else None
    return Assigned(event_id, owner, verdict)
