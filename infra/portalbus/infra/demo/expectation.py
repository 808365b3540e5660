"""What the centre must hold after the day, worked out from the plan alone: no code of the processors takes part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from portalbus.infra.demo.plan import Plan, Step
from portalbus.schemas.case_rules import diverts
from portalbus.schemas.models import (
    CaseStep,
    DirectiveAction,
    DirectivePublished,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    VerdictStatus,
)


@dataclass
class ExpectedDirective:
    """A directive: every version as it was sent, by number."""

    agency: str
    versions: dict[int, DirectivePublished] = field(default_factory=dict)

    @property
    def newest(self) -> DirectivePublished:
        """The version that the centre shows."""
        return self.versions[max(self.versions)]

    def row(self) -> dict[str, Any]:
        """The fields of the directive as the store must hold them."""
        newest = self.newest
        return {
            "agency": self.agency,
            "directive_id": newest.directive_id,
            "version": newest.version,
            "withdrawn": newest.action is DirectiveAction.WITHDRAW,
            "number": newest.number,
            "document_type": newest.document_type,
            "title": newest.title,
            "language": newest.language,
            "field": newest.field,
            "issued_on": newest.issued_on,
        }


@dataclass
class ExpectedCase:
    """A case: its receipt, the answer that stands when there is one, who has it, and how many steps were taken."""

    receiver: str
    received: FeedbackReceived
    resolved: FeedbackResolved | None = None
    answered_by: str | None = None
    owner: str = ""
    state: str = "RECEIVED"
    steps: int = 0

    def answer(self, said: FeedbackResolved, agency: str) -> None:
        """It is answered."""
        self.resolved, self.answered_by, self.state = said, agency, "RESOLVED"

    def take(self, said: FeedbackProgressed) -> None:
        """A step is taken."""
        self.steps += 1
        if said.step is CaseStep.TRANSFERRED:
            self.owner = said.to_agency or ""
        elif said.step is CaseStep.ANSWER_RETURNED:
            self.resolved, self.answered_by, self.state = None, None, "RECEIVED"
        elif said.step is CaseStep.REOPENED:
            self.state = "RECEIVED"
        elif said.step in (CaseStep.WITHDRAWN, CaseStep.SPLIT):
            self.state = "CLOSED"

    def row(self) -> dict[str, Any]:
        """The fields of the case as the store must hold them."""
        said, answer = self.received, self.resolved
        if answer is not None and diverts(answer):
            said = said.model_copy(update={"subject": "", "content": "", "pseudonym": None})
        return {
            "case_id": said.case_id,
            "public_code": said.public_code,
            "receiver": self.receiver,
            "owner": self.owner or said.addressed_to,
            "addressed_to": said.addressed_to,
            "steps": self.steps,
            "regime": said.regime,
            "category": said.category,
            "channel": said.channel.value,
            "field": said.field,
            "area": said.area,
            "urgency": said.urgency.value,
            "subject": said.subject,
            "content": said.content,
            "language": said.language,
            "pseudonym": said.pseudonym,
            "received_at": said.received_at,
            "state": self.state,
            "outcome": answer.outcome.value if answer else None,
            "reason_code": answer.reason_code.value if answer and answer.reason_code else None,
            "reason_text": answer.reason_text if answer else None,
            "legal_basis": answer.legal_basis if answer else None,
            "competent_agency": answer.competent_agency if answer else None,
            "answer": answer.answer if answer else None,
            "answer_language": answer.language if answer else None,
            "answer_public": answer.public if answer else None,
            "answered_by": self.answered_by,
            "answered_at": answer.answered_at if answer else None,
        }


@dataclass
class Expectation:
    """Directives by key, cases by id."""

    directives: dict[str, ExpectedDirective] = field(default_factory=dict)
    cases: dict[str, ExpectedCase] = field(default_factory=dict)


def expect(plan: Plan) -> Expectation:
    """Folds what must be accepted, whatever the order in which the lanes are read."""
    found = Expectation()
    accepted = [step for step in plan.steps if step.status is VerdictStatus.ACCEPTED]
    for step in accepted:
        _expect_opening(step, found)
    for step in accepted:
        if isinstance(step.payload, FeedbackResolved):
            found.cases[step.payload.case_id].answer(step.payload, step.agency)
        elif isinstance(step.payload, FeedbackProgressed):
            found.cases[step.payload.case_id].take(step.payload)
    return found


def _expect_opening(step: Step, found: Expectation) -> None:
    payload = step.payload
    if isinstance(payload, DirectivePublished):
        directive = found.directives.setdefault(f"{step.agency}/{payload.directive_id}", ExpectedDirective(step.agency))
        directive.versions[payload.version] = payload
    elif isinstance(payload, FeedbackReceived):
        found.cases[payload.case_id] = ExpectedCase(step.agency, payload)
