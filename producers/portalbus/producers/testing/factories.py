"""Valid payloads to publish in a test; change what the test is about, and leave the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count
from typing import Any

from portalbus.schemas.identifiers import new_public_code
from portalbus.schemas.models import (
    BodyFormat,
    CaseStep,
    CaseUrgency,
    Channel,
    DirectiveAction,
    DirectivePublished,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
)

_numbers = count(1)


def a_directive(agency: str = "H26", **changes: Any) -> DirectivePublished:
    """A directive that no other call has made; `version=2` makes it a revision.

    Raises pydantic.ValidationError for a change that breaks the contract.
    """
    number = next(_numbers)
    first = changes.get("version", 1) == 1
    values = {
        "action": DirectiveAction.PUBLISH if first else DirectiveAction.REVISE,
        "directive_id": f"ct-{number}",
        "version": 1,
        "number": f"{number}/CT-UBND",
        "document_type": "CT",
        "title": "Chỉ thị về bảo đảm chiếu sáng công cộng",
        "body": "Các đơn vị kiểm tra hệ thống chiếu sáng trên địa bàn và báo cáo kết quả.",
        "body_format": BodyFormat.TEXT,
        "language": "vi",
        "issued_on": date(2026, 11, 20),
        "canonical_url": f"https://{agency.lower().replace('.', '-')}.example.vn/van-ban/{number}",
    }
    return DirectivePublished.model_validate({**values, **changes})


def a_withdrawal(directive: DirectivePublished, **changes: Any) -> DirectivePublished:
    """The withdrawal of a directive: its next version, with a reason.

    Raises pydantic.ValidationError for a change that breaks the contract.
    """
    values = {
        **directive.model_dump(),
        "action": DirectiveAction.WITHDRAW,
        "version": directive.version + 1,
        "withdrawal_reason": "Ban hành nhầm bản dự thảo.",
    }
    return DirectivePublished.model_validate({**values, **changes})


def a_feedback(agency: str = "H26", **changes: Any) -> FeedbackReceived:
    """A feedback with a case id and a public code of its own, addressed to `agency`.

    Raises pydantic.ValidationError for a change that breaks the contract.
    """
    values = {
        "case_id": f"{agency}-TEST-{next(_numbers):06d}",
        "public_code": new_public_code(),
        "regime": "R2",
        "category": 1,
        "channel": Channel.WEB,
        "received_at": _now(),
        "addressed_to": agency,
        "subject": "Đèn đường hỏng",
        "content": "Đèn đường trên phố hỏng đã ba tuần.",
        "language": "vi",
    }
    return FeedbackReceived.model_validate({**values, **changes})


def an_answer(case: FeedbackReceived | str, **changes: Any) -> FeedbackResolved:
    """An answer to a case, given by the case itself or by its id.

    Raises pydantic.ValidationError for a change that breaks the contract.
    """
    values = {
        "case_id": case if isinstance(case, str) else case.case_id,
        "outcome": Outcome.ANSWERED,
        "answer": "Đèn đã được sửa.",
        "language": "vi",
        "answered_at": _now(),
    }
    return FeedbackResolved.model_validate({**values, **changes})


def a_step(case: FeedbackReceived | str, step: CaseStep, **changes: Any) -> FeedbackProgressed:
    """A step of a case, given by the case itself or by its id, with what this step needs.

    Raises pydantic.ValidationError for a change that breaks the contract.
    """
    case_id = case if isinstance(case, str) else case.case_id
    needed: dict[CaseStep, dict[str, Any]] = {
        CaseStep.TRANSFERRED: {"to_agency": "H29"},
        CaseStep.EXTENDED: {"due_on": date(2026, 12, 31), "reason": "Cần xác minh thêm tại hiện trường."},
        CaseStep.ANSWER_RETURNED: {"reason": "Câu trả lời chưa đúng nội dung phản ánh."},
        CaseStep.WITHDRAWN: {"reason": "Người gửi đề nghị rút phản ánh này."},
        CaseStep.URGENCY_CHANGED: {"urgency": CaseUrgency.URGENT},
        CaseStep.SPLIT: {"children": (f"{case_id}-1", f"{case_id}-2")},
        CaseStep.RATED: {"satisfaction": 4},
    }
    values = {"case_id": case_id, "step": step, "at": _now(), **needed.get(step, {})}
    return FeedbackProgressed.model_validate({**values, **changes})


def _now() -> datetime:
    """To the second: what comes off the lane is equal to what was published, and that counts milliseconds."""
    return datetime.now(UTC).replace(microsecond=0)
