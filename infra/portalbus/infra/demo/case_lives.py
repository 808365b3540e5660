"""Lives of cases: what a body does between receipt and answer, and after it.

All of a life is said by one portal, of cases that it received and has itself: so the order of the steps is certain,
whatever order the lanes are read in.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from portalbus.infra.demo.cast import GOVERNMENT_PORTAL
from portalbus.infra.demo.composer import Composer
from portalbus.infra.demo.day import moment
from portalbus.schemas.directory import Agency
from portalbus.schemas.models import CaseStep, FeedbackProgressed, FeedbackReceived

ANSWER = "answer"
CHILDREN = "children"
LONGEST_LIFE = 7
"""Events of a life, its receipt among them."""

LIVES: tuple[tuple[CaseStep | str, ...], ...] = (
    (CaseStep.ACCEPTED, ANSWER, CaseStep.RATED),
    (CaseStep.CLASSIFIED, CaseStep.ACCEPTED, CaseStep.CLARIFICATION_ASKED, CaseStep.CLARIFICATION_GIVEN, ANSWER),
    (CaseStep.ACCEPTED, CaseStep.EXTENDED, CaseStep.PROGRESS_TOLD, ANSWER),
    (CaseStep.ACCEPTED, ANSWER, CaseStep.PUBLISHED, CaseStep.REOPENED, ANSWER),
    (CaseStep.CLASSIFIED, CaseStep.TRANSFERRED),
    (CaseStep.SPLIT, CHILDREN),
    (CaseStep.WITHDRAWN,),
)
AT_THE_CENTRE: tuple[tuple[CaseStep | str, ...], ...] = (
    (CaseStep.ACCEPTED, ANSWER, CaseStep.ANSWER_RETURNED, ANSWER, CaseStep.PUBLISHED),
    (CaseStep.ACKNOWLEDGED, CaseStep.ACCEPTED, ANSWER, CaseStep.PUBLISHED),
)
"""Only the Government Portal returns answers, and publishes them before their review is over."""


def case_life(composer: Composer, random: Random) -> None:
    """A body receives a case that is its own, and does with it what bodies do. At most LONGEST_LIFE events."""
    host = composer.cast[0] if random.random() < 0.3 else random.choice(composer.cast)
    at = moment(random, 0.02, 0.85)
    received = composer.receipt(host, host, at)
    composer.add(at, host, received)
    lives = AT_THE_CENTRE if host.code == GOVERNMENT_PORTAL and random.random() < 0.6 else LIVES
    children: tuple[FeedbackReceived, ...] = ()
    for kind in random.choice(lives):
        at = moment(random, at, 1.0)
        if kind == ANSWER:
            composer.add(at, host, composer.answer(received, at))
        elif kind == CHILDREN:
            for child in children:
                composer.add(at, host, child)
        else:
            if kind is CaseStep.SPLIT:
                children = tuple(composer.receipt(host, host, at) for _ in range(2))
            composer.add(at, host, _step(composer, random, received, host, CaseStep(kind), at, children))


def _step(
    composer: Composer,
    random: Random,
    received: FeedbackReceived,
    host: Agency,
    kind: CaseStep,
    at: float,
    children: tuple[FeedbackReceived, ...],
) -> FeedbackProgressed:
    """A step with what this kind of step needs."""
    other = random.choice([agency.code for agency in composer.cast if agency is not host])
    needs: dict[CaseStep, dict[str, Any]] = {
        CaseStep.TRANSFERRED: {"to_agency": other, "reason": "Nội dung thuộc thẩm quyền của cơ quan được chuyển đến."},
        CaseStep.EXTENDED: {
            "due_on": composer.day.time(at).date() + timedelta(days=20),
            "reason": "Cần kiểm tra thực tế tại hiện trường cùng đơn vị chuyên môn.",
        },
        CaseStep.ANSWER_RETURNED: {"reason": "Câu trả lời chưa nêu thời hạn khắc phục mà người dân đã hỏi."},
        CaseStep.WITHDRAWN: {"reason": "Người gửi đề nghị rút phản ánh vì sự việc đã được khắc phục."},
        CaseStep.SPLIT: {"children": tuple(child.case_id for child in children)},
        CaseStep.RATED: {"satisfaction": random.randint(1, 5)},
    }
    return FeedbackProgressed.model_validate(
        {"case_id": received.case_id, "step": kind, "at": composer.day.time(at), **needs.get(kind, {})}
    )
