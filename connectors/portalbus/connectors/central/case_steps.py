"""The life of a case told in plain language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from portalbus.connectors.central.wording import Words
from portalbus.streams.reading.answer_due import AnswerDue
from portalbus.streams.reading.cases import CaseHistory, CaseRow, StepRow

CODE_LENGTH = 12
# Crockford's base 32 is read leniently: what looks like a digit is one.
LOOKALIKES = str.maketrans("OIL", "011", " -\u00a0\u2010\u2011\u2013")


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One step: a short title, a sentence, and when it happened."""

    title: str
    text: str
    at: datetime


def typed_code(text: str) -> str:
    """A public code as a person may type it, in the form in which it is stored."""
    return text.strip().upper().translate(LOOKALIKES)[: CODE_LENGTH * 2]


def days_left(due: AnswerDue | None, today: date) -> int:
    """How many days are left for the answer after today; negative when it is late."""
    return (due.due_on - today).days if due and due.due_on else 0


def case_steps(history: CaseHistory, words: Words, agency_name: Callable[[str], str]) -> list[CaseStep]:
    """The steps of a case, oldest first. Says who did what, never what was written."""
    tellers = {"FeedbackReceived": _received, "FeedbackResolved": _resolved, "FeedbackProgressed": _progressed}
    return [tellers.get(step.event_type, _other)(step, history.case, words, agency_name) for step in history.steps]


def _received(step: StepRow, case: CaseRow, words: Words, agency_name: Callable[[str], str]) -> CaseStep:
    text = words("step.received_text", agency=agency_name(case.receiver), channel=words.name("channel", case.channel))
    addressed_to = case.addressed_to or case.owner
    if addressed_to != case.receiver:
        gap = "" if words.language == "zh" else " "
        text = f"{text}{gap}{words('step.owner_text', agency=agency_name(addressed_to))}"
    return CaseStep(words("step.received"), text, case.received_at)


def _resolved(step: StepRow, case: CaseRow, words: Words, agency_name: Callable[[str], str]) -> CaseStep:
    if step.outcome is None:  # what it says is not shown, or not yet
        return CaseStep(
            words("step.answered"), words("step.answered_text", agency=agency_name(step.agency)), step.received_at
        )
    key = f"outcome_text.{step.outcome}"
    if not words.has(key):
        return _other(step, case, words, agency_name)
    text = words(key, agency=agency_name(step.agency))
    return CaseStep(words.name("outcome", step.outcome), text, step.answered_at or step.received_at)


def _progressed(step: StepRow, case: CaseRow, words: Words, agency_name: Callable[[str], str]) -> CaseStep:
    key = f"progress_text.{step.step}"
    if not words.has(key):
        return _other(step, case, words, agency_name)
    text = words(key, agency=agency_name(step.agency), to=agency_name(step.to_agency or case.owner))
    return CaseStep(words(f"progress.{step.step}"), text, step.occurred_at or step.received_at)


def _other(step: StepRow, case: CaseRow, words: Words, agency_name: Callable[[str], str]) -> CaseStep:
    text = words("step.other_text", agency=agency_name(step.agency))
    return CaseStep(words("step.other"), text, step.occurred_at or step.received_at)
