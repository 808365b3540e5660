"""The stateless rules about a case: what a refusal has to say, and what a step needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portalbus.schemas.facts import Facts, agency_exists
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import (
    CaseStep,
    CaseUrgency,
    Event,
    FeedbackProgressed,
    FeedbackResolved,
    Outcome,
    RefusalReason,
)
from portalbus.schemas.search_text import fold

MIN_REASON_CHARACTERS = 20
MIN_DIFFERENT_LETTERS = 8
"""A text with fewer is filler: the shortest honest reasons in Vietnamese have a dozen different letters."""

MIN_CHILDREN = 2
REFUSALS = frozenset({Outcome.REJECTED, Outcome.INSUFFICIENT_BASIS, Outcome.DIVERTED, Outcome.TRANSFERRED_OUT})
PASSED_ON = frozenset({Outcome.TRANSFERRED_OUT, Outcome.RECOMMENDED_TO_COMPETENT})
NEEDS_REASON = frozenset({CaseStep.EXTENDED, CaseStep.ANSWER_RETURNED, CaseStep.WITHDRAWN})
TAKES_NO_TEXT = frozenset({CaseStep.SPLIT, CaseStep.DIVERTED})
"""What such a case says does not enter the bus, so nobody may write of it there (Law on Denunciation 25/2018)."""

REASON_LABELS: Mapping[RefusalReason, tuple[str, ...]] = {
    RefusalReason.NOT_VIETNAMESE: ("Nội dung không bằng tiếng Việt", "Not in Vietnamese", "内容非越南语"),
    RefusalReason.MISSING_IDENTITY: ("Thiếu thông tin người gửi", "Missing identity", "缺少身份信息"),
    RefusalReason.UNCLEAR_CONTENT: ("Nội dung không rõ ràng", "Unclear content", "内容不清楚"),
    RefusalReason.OUT_OF_SCOPE_COMPLAINT: ("Thuộc phạm vi khiếu nại", "Out of scope complaint", "属于申诉范围"),
    RefusalReason.OUT_OF_SCOPE_DENUNCIATION: ("Thuộc phạm vi tố cáo", "Out of scope denunciation", "属于检举范围"),
    RefusalReason.LEGAL_QA: ("Hỏi đáp pháp luật", "Legal question", "法律咨询"),
    RefusalReason.DUPLICATE: ("Trùng với phản ánh khác", "Duplicate of another case", "与其他案件重复"),
    RefusalReason.ALREADY_ANSWERED_NO_NEW_FACTS: (
        "Đã trả lời, không có tình tiết mới",
        "Already answered, no new facts",
        "已答复，无新情况",
    ),
    RefusalReason.COURT_OR_OTHER_PROCEDURE: (
        "Thuộc thẩm quyền của tòa án hoặc thủ tục khác",
        "Court or other procedure",
        "属于法院或其他程序",
    ),
    RefusalReason.ALREADY_WITH_COMPETENT_BODY: (
        "Cơ quan có thẩm quyền đang giải quyết",
        "Already with the competent body",
        "主管机构正在办理",
    ),
    RefusalReason.NO_LEGAL_CAPACITY_OR_MANDATE: (
        "Không có năng lực hành vi hoặc ủy quyền hợp pháp",
        "No legal capacity or mandate",
        "无行为能力或合法授权",
    ),
    RefusalReason.STATE_SECRET: ("Thuộc bí mật nhà nước", "State secret", "涉及国家秘密"),
    RefusalReason.ABUSIVE_OR_SPAM: ("Nội dung xúc phạm hoặc thư rác", "Abusive or spam", "辱骂或垃圾信息"),
    RefusalReason.OTHER_GROUND: ("Lý do khác", "Other ground", "其他理由"),
}
"""How the reasons are called: a refusal that says no more than this gives no reason."""

_LABELS = frozenset(
    fold(text) for reason, labels in REASON_LABELS.items() for text in (*labels, reason.value.replace("_", " "))
)


def refusal_has_reason(event: Event, facts: Facts) -> Iterator[Finding]:
    """A refusal states its reason, in a code and in words, and its legal basis (Decree 137/2024)."""
    payload = event.payload
    if not isinstance(payload, FeedbackResolved):
        return
    if payload.outcome in REFUSALS:
        yield from _refusal(payload)
    elif payload.outcome is not Outcome.WITHDRAWN and not (payload.answer or "").strip():
        yield Finding("answer.needs-text", "/answer", {"outcome": payload.outcome.value})
    if payload.outcome in PASSED_ON and payload.competent_agency is None:
        yield Finding("answer.needs-competent-agency", "/competent_agency", {"outcome": payload.outcome.value})
    if payload.competent_agency is not None:
        yield from agency_exists(payload.competent_agency, "/competent_agency", facts)


def _refusal(payload: FeedbackResolved) -> Iterator[Finding]:
    if payload.reason_code is None:
        yield Finding("refusal.needs-reason-code", "/reason_code", {"outcome": payload.outcome.value})
    if not _is_long_enough(payload.reason_text):
        yield Finding("refusal.needs-reason-text", "/reason_text", {"characters": str(MIN_REASON_CHARACTERS)})
    elif _is_empty_talk(payload.reason_text or ""):
        yield Finding("refusal.reason-without-substance", "/reason_text")
    if payload.outcome is not Outcome.TRANSFERRED_OUT and not (payload.legal_basis or "").strip():
        yield Finding("refusal.needs-legal-basis", "/legal_basis", {"outcome": payload.outcome.value})
    if payload.reason_code is RefusalReason.ALREADY_WITH_COMPETENT_BODY and payload.competent_agency is None:
        yield Finding("refusal.needs-competent-agency", "/competent_agency", {"reason": payload.reason_code.value})


def step_is_complete(event: Event, facts: Facts) -> Iterator[Finding]:
    """A step has what it needs, and nothing that may not enter."""
    payload = event.payload
    if not isinstance(payload, FeedbackProgressed):
        return
    step = {"step": payload.step.value}
    if payload.step in TAKES_NO_TEXT and payload.reason is not None:
        yield Finding("case.step-takes-no-text", "/reason", step)
    if _needs_reason(payload) and not is_reason(payload.reason):
        yield Finding("case.step-needs-reason", "/reason", {**step, "characters": str(MIN_REASON_CHARACTERS)})
    if payload.step is CaseStep.TRANSFERRED:
        yield from _transfer(payload, facts)
    if payload.step is CaseStep.EXTENDED and payload.due_on is None:
        yield Finding("case.step-needs-due-date", "/due_on", step)
    if payload.step is CaseStep.URGENCY_CHANGED and payload.urgency is None:
        yield Finding("case.step-needs-urgency", "/urgency", step)
    if payload.step is CaseStep.RATED and payload.satisfaction is None:
        yield Finding("case.step-needs-rating", "/satisfaction", step)
    if payload.step is CaseStep.SPLIT and len(set(payload.children) - {payload.case_id}) < MIN_CHILDREN:
        yield Finding("case.step-needs-children", "/children", {**step, "count": str(MIN_CHILDREN)})


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


def is_reason(text: str | None) -> bool:
    """True for words of substance: enough of them, and not just the name of a reason."""
    return _is_long_enough(text) and not _is_empty_talk(text or "")


def _is_long_enough(text: str | None) -> bool:
    return len((text or "").strip()) >= MIN_REASON_CHARACTERS


def _is_empty_talk(text: str) -> bool:
    """True for the mere name of a reason, and for text of a few letters over and over."""
    letters = {letter for letter in text.casefold() if letter.isalpha()}
    return len(letters) < MIN_DIFFERENT_LETTERS or fold(text) in _LABELS
