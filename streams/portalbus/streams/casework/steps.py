"""The steps between receipt and answer, and what each does to the clocks of a case. Pure.

A table: one function a kind. The judge has accepted the step, so it is legal; one that makes no sense here changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from portalbus.schemas.directory import heir_of
from portalbus.schemas.law.reckoning import day_of
from portalbus.schemas.models import CaseStep, CaseUrgency, FeedbackProgressed
from portalbus.streams.casework.life import Ending, Extended, Handling, Life

BY_LANE_TIME = frozenset({CaseStep.ACKNOWLEDGED, CaseStep.URGENCY_CHANGED})


def take(life: Life, step: FeedbackProgressed, heard: datetime, by: str) -> None:
    """Takes one step that the centre heard of at this lane time, from this agency.

    What is counted in days happened when the agency tells, but not before it had the case or ended it, nor after the
    centre heard of it: a lane that lags may say something of before what another has said. What is counted in minutes,
    urgency and its acknowledgement, happened when the centre heard of it. A body that is no more is taken for its heir,
    as the judge does.
    """
    now = life.now
    if step.to_agency is not None:
        heir = heir_of(step.to_agency, day_of(heard))
        step = step.model_copy(update={"to_agency": heir or step.to_agency})
    told = max(min(step.at, heard), now.ended or now.received)
    STEPS[step.step](life, now, step, heard if step.step in BY_LANE_TIME else told)
    if step.step is CaseStep.SPLIT:
        life.split_by, life.children = by, tuple(sorted(set(step.children) - {life.case_id}))
    if life.now.ended is not None:
        life.end_climbs(heard)
    elif life.now is not now:
        now.passed_to_another = heard if step.step is CaseStep.TRANSFERRED else None
        if life.urgent:
            life.begin_climb(heard)  # whoever has it now has to say so: its ladder begins
    elif step.step is CaseStep.ANSWER_RETURNED and life.urgent and not any(one.acknowledged for one in now.climbs):
        life.begin_climb(heard)


def _taken_up(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.passed_on = now.passed_on or at
    life.state = "IN_PROGRESS" if step.step is CaseStep.ACCEPTED else life.state


def _classified(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    life.state = "CLASSIFIED"


def _transferred(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    """The body's clock ends, and the next one's begins."""
    if step.to_agency is None:
        return
    now.go_on(at)
    now.passed_on = now.passed_on or at
    now.ended, now.ending = at, Ending.TRANSFERRED
    life.handlings.append(Handling(now.number + 1, step.to_agency, at))
    life.state = "RECEIVED"


def _extended(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    if step.due_on is not None:
        now.extensions.append(Extended(at, step.due_on))


def _asked(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.pause(at)
    now.passed_on = now.passed_on or at
    life.state = "NEEDS_CLARIFICATION"


def _given(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.go_on(at)
    life.state = "IN_PROGRESS"


def _progress_told(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.progress_told.append(at)


def _returned(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    """The answer did not suit: the body has the case again, and the time in which it lay elsewhere does not count."""
    if now.ended is None or now.heard is None:
        return
    if now.passed_on == now.ended and now.ending is Ending.TRANSFERRED:
        now.passed_on = None  # it named another body, and that did not suit
    now.pause(now.ended)
    now.go_on(at)
    now.answered = now.refused = now.published = now.ended = now.ending = now.heard = now.reason_code = None
    now.returned += 1
    life.state = "IN_PROGRESS"


def _published(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.published = now.published or at
    life.state = "PUBLISHED"


def _reopened(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    if now.ended is None:
        return
    life.handlings.append(Handling(now.number + 1, now.agency, at, reopened=True))
    life.state = "RECEIVED"


def _ends(ending: Ending) -> Callable[[Life, Handling, FeedbackProgressed, datetime], None]:
    def end(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
        now.go_on(at)
        now.passed_on = now.passed_on or at
        now.ended, now.ending = at, ending
        life.state = ending.value

    return end


def _urgency_changed(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    """Raised, a climb begins. Lowered, it ends where it is: what was missed until now stays missed."""
    raised = step.urgency is CaseUrgency.URGENT
    if raised and not life.urgent:
        life.begin_climb(at)
    elif not raised:
        life.end_climbs(at)
    life.urgent = raised


def _acknowledged(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    life.acknowledge(at)


def _rated(life: Life, now: Handling, step: FeedbackProgressed, at: datetime) -> None:
    now.satisfaction = step.satisfaction


STEPS: Mapping[CaseStep, Callable[[Life, Handling, FeedbackProgressed, datetime], None]] = {
    CaseStep.ACCEPTED: _taken_up,
    CaseStep.CLASSIFIED: _classified,
    CaseStep.TRANSFERRED: _transferred,
    CaseStep.EXTENDED: _extended,
    CaseStep.CLARIFICATION_ASKED: _asked,
    CaseStep.CLARIFICATION_GIVEN: _given,
    CaseStep.PROGRESS_TOLD: _progress_told,
    CaseStep.ANSWER_RETURNED: _returned,
    CaseStep.PUBLISHED: _published,
    CaseStep.REOPENED: _reopened,
    CaseStep.WITHDRAWN: _ends(Ending.WITHDRAWN),
    CaseStep.SPLIT: _ends(Ending.SPLIT),
    CaseStep.DIVERTED: _ends(Ending.DIVERTED),
    CaseStep.URGENCY_CHANGED: _urgency_changed,
    CaseStep.ACKNOWLEDGED: _acknowledged,
    CaseStep.RATED: _rated,
}
