"""The stateless rules about a case: what a refusal has to say, what a step needs, and what may not enter."""

from __future__ import annotations

from collections.abc import Iterator

from portalbus.schemas.facts import Facts, agency_exists
from portalbus.schemas.findings import Finding
from portalbus.schemas.law.limits import Limited
from portalbus.schemas.models import (
    CaseStep,
    CaseUrgency,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
    RefusalReason,
)
from portalbus.schemas.reasons import (
    names_a_court,
    names_a_text_of_law,
    names_only_laws,
    says_not_competent,
    says_something,
)

MIN_CHILDREN = 2
REFUSALS = frozenset({Outcome.REJECTED, Outcome.INSUFFICIENT_BASIS, Outcome.DIVERTED, Outcome.TRANSFERRED_OUT})
PASSED_ON = frozenset({Outcome.TRANSFERRED_OUT, Outcome.RECOMMENDED_TO_COMPETENT})
NEEDS_REASON = frozenset({CaseStep.EXTENDED, CaseStep.ANSWER_RETURNED, CaseStep.WITHDRAWN})
TAKES_NO_TEXT = frozenset({CaseStep.SPLIT, CaseStep.DIVERTED})
"""What such a case says does not enter the bus, so nobody may write of it there (Law on Denunciation 25/2018)."""

DIVERTING = frozenset({RefusalReason.OUT_OF_SCOPE_COMPLAINT, RefusalReason.OUT_OF_SCOPE_DENUNCIATION})
"""Reasons that name the procedure which a case belongs to instead: the code is all that may be said of it."""


def diverts(payload: FeedbackResolved) -> bool:
    """True for an answer that sends the case to the procedure of complaints or denunciations."""
    return payload.outcome is Outcome.DIVERTED or payload.reason_code in DIVERTING


def receipt_has_text(event: Event, facts: Facts) -> Iterator[Finding]:
    """A feedback says something; of a complaint or denunciation nothing enters but that there is one."""
    payload = event.payload
    if not isinstance(payload, FeedbackReceived):
        return
    texts = {"/subject": payload.subject, "/content": payload.content}
    if payload.diverted is None:
        for path, text in texts.items():
            if not text:
                yield Finding("schema.empty", path, {"field": path, "bound": "string_too_short"})
        return
    texts["/pseudonym"] = payload.pseudonym or ""
    yield from _no_texts(texts, payload.diverted.value)


def _no_texts(texts: dict[str, str], what: str) -> Iterator[Finding]:
    for path, text in texts.items():
        if text:
            yield Finding("case.diverted-takes-no-text", path, {"field": path, "what": what})


def refusal_has_reason(event: Event, facts: Facts) -> Iterator[Finding]:
    """A refusal states its reason, in a code and in words, and its legal basis (Decree 137/2024)."""
    payload = event.payload
    if not isinstance(payload, FeedbackResolved):
        return
    if diverts(payload):
        yield from _diversion(payload)
    elif payload.outcome in REFUSALS:
        yield from _refusal(payload, facts)
    elif payload.outcome is not Outcome.WITHDRAWN and not (payload.answer or "").strip():
        yield Finding("answer.needs-text", "/answer", {"outcome": payload.outcome.value})
    if payload.outcome in PASSED_ON and payload.competent_agency is None:
        yield Finding("answer.needs-competent-agency", "/competent_agency", {"outcome": payload.outcome.value})
    if payload.competent_agency is not None:
        yield from agency_exists(payload.competent_agency, "/competent_agency", facts)


def _diversion(payload: FeedbackResolved) -> Iterator[Finding]:
    """Codes and the name of the law: what is written to the citizen about it stays with the body."""
    if payload.reason_code is None:
        yield Finding("refusal.needs-reason-code", "/reason_code", {"outcome": payload.outcome.value})
    texts = {name: getattr(payload, name) or "" for name in ("answer", "reason_text")}
    if not names_only_laws(payload.legal_basis or ""):
        texts["legal_basis"] = payload.legal_basis or ""
    what = payload.reason_code if payload.reason_code in DIVERTING else payload.outcome
    yield from _no_texts({f"/{name}": text for name, text in texts.items()}, what.value)


def _refusal(payload: FeedbackResolved, facts: Facts) -> Iterator[Finding]:
    text, characters = payload.reason_text or "", shortest_reason(facts)
    if payload.reason_code is None:
        yield Finding("refusal.needs-reason-code", "/reason_code", {"outcome": payload.outcome.value})
    if len(text.strip()) < characters:
        yield Finding("refusal.needs-reason-text", "/reason_text", {"characters": str(characters)})
    elif not says_something(text):
        yield Finding("refusal.reason-without-substance", "/reason_text")
    if not (payload.legal_basis or "").strip():
        if payload.outcome is not Outcome.TRANSFERRED_OUT:
            yield Finding("refusal.needs-legal-basis", "/legal_basis", {"outcome": payload.outcome.value})
    elif not names_a_text_of_law(payload.legal_basis or ""):
        yield Finding("refusal.legal-basis-unclear", "/legal_basis")
    if payload.outcome not in PASSED_ON and payload.competent_agency is None and _another_is_competent(payload):
        reason = payload.reason_code.value if payload.reason_code else "–"
        yield Finding("refusal.needs-competent-agency", "/competent_agency", {"reason": reason})


def _another_is_competent(payload: FeedbackResolved) -> bool:
    """True where a refusal says that the matter is another body's, by its code or in its words."""
    text = payload.reason_text or ""
    if payload.reason_code is RefusalReason.COURT_OR_OTHER_PROCEDURE and names_a_court(text):
        return True
    return payload.reason_code is RefusalReason.ALREADY_WITH_COMPETENT_BODY or says_not_competent(text)


def step_is_complete(event: Event, facts: Facts) -> Iterator[Finding]:
    """A step has what it needs, and nothing that may not enter."""
    payload = event.payload
    if not isinstance(payload, FeedbackProgressed):
        return
    step = {"step": payload.step.value}
    if payload.step in TAKES_NO_TEXT:
        if payload.reason is not None:
            yield Finding("case.step-takes-no-text", "/reason", {**step, "field": "reason"})
        if not names_only_laws(payload.legal_basis or ""):
            yield Finding("case.step-takes-no-text", "/legal_basis", {**step, "field": "legal_basis"})
    if _needs_reason(payload) and not is_reason(payload.reason, facts):
        yield Finding("case.step-needs-reason", "/reason", {**step, "characters": str(shortest_reason(facts))})
    if payload.step is CaseStep.TRANSFERRED:
        yield from _transfer(payload, facts)
    if payload.step is CaseStep.EXTENDED and payload.due_on is None:
        yield Finding("case.step-needs-due-date", "/due_on", step)
    if payload.step is CaseStep.URGENCY_CHANGED and payload.urgency is None:
        yield Finding("case.step-needs-urgency", "/urgency", step)
    if payload.step is CaseStep.RATED and payload.satisfaction is None:
        yield Finding("case.step-needs-rating", "/satisfaction", step)
    if payload.step is CaseStep.SPLIT:
        yield from _split(payload, event.envelope.agency)


def _split(payload: FeedbackProgressed, agency: str) -> Iterator[Finding]:
    """The children are cases that the splitter receives itself: nobody else can be waited for."""
    if len(set(payload.children) - {payload.case_id}) < MIN_CHILDREN:
        params = {"step": payload.step.value, "count": str(MIN_CHILDREN)}
        yield Finding("case.step-needs-children", "/children", params)
    for number, child in enumerate(payload.children):
        if not child.startswith(f"{agency}-"):
            yield Finding("case.child-names-splitter", f"/children/{number}", {"agency": agency})


def _transfer(payload: FeedbackProgressed, facts: Facts) -> Iterator[Finding]:
    """The receiving agency exists, or has one successor; among several a person chooses."""
    if payload.to_agency is None:
        yield Finding("case.step-needs-agency", "/to_agency", {"step": payload.step.value})
    elif facts.directory.heir_of(payload.to_agency, facts.today) is None:
        for finding in agency_exists(payload.to_agency, "/to_agency", facts):
            several = finding.rule == "agency.abolished" and "," in finding.params["successors"]
            yield Finding("case.transfer-to-several", finding.path, finding.params) if several else finding


def _needs_reason(payload: FeedbackProgressed) -> bool:
    lowered = payload.step is CaseStep.URGENCY_CHANGED and payload.urgency is CaseUrgency.NORMAL
    return lowered or payload.step in NEEDS_REASON


def shortest_reason(facts: Facts) -> int:
    """How many characters a reason has at least, on the day of judgement."""
    return facts.limits.of(Limited.REASON_CHARACTERS, facts.today)


def is_reason(text: str | None, facts: Facts) -> bool:
    """True for words of substance: enough of them, not just a reason's name, nor what can be said of everything."""
    said = (text or "").strip()
    return len(said) >= shortest_reason(facts) and says_something(said)
