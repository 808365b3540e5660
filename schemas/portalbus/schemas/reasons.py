"""Does a reason say something, does a legal basis name a text, does a refusal say that another body is competent?

Rules of thumb over the words, in Vietnamese, English and Chinese: they find what says nothing, and prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from portalbus.schemas.models import RefusalReason
from portalbus.schemas.search_text import fold

MIN_DIFFERENT_LETTERS = 8
"""A text with fewer is filler: the shortest honest reasons in Vietnamese have a dozen different letters."""
MIN_DIFFERENT_WORDS = 4
"""Words (of Chinese: pairs of characters) that a reason has besides stock phrases."""

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

STOCK_PHRASES = (
    *("theo quy định của pháp luật", "theo quy định hiện hành", "theo các quy định hiện hành", "theo quy định"),
    *("căn cứ quy định của pháp luật", "căn cứ các quy định hiện hành", "căn cứ quy định", "của pháp luật hiện hành"),
    *("không thuộc thẩm quyền giải quyết", "không thuộc thẩm quyền", "không đủ điều kiện", "không có cơ sở"),
    *("không phù hợp với quy định", "không phù hợp", "để xem xét", "xem xét", "giải quyết", "pháp luật", "hiện hành"),
    *("nội dung phản ánh, kiến nghị", "nội dung phản ánh", "nội dung kiến nghị", "phản ánh, kiến nghị"),
    *("của ông/bà", "của ông (bà)", "ông/bà", "của công dân", "công dân", "của cơ quan", "cơ quan chức năng"),
    *("đề nghị liên hệ cơ quan có thẩm quyền", "cơ quan có thẩm quyền", "trân trọng cảm ơn", "xin cảm ơn"),
    *(
        "in accordance with the law",
        "according to the law",
        "as provided by law",
        "under the law",
        "pursuant to the law",
    ),
    *("according to current regulations", "in accordance with current regulations", "current regulations"),
    *(
        "not within our competence",
        "there are no grounds",
        "no grounds",
        "not eligible",
        "your feedback",
        "your request",
    ),
    *("thank you for", "cannot be considered", "cannot be handled"),
)
"""What can be said in every case: a reason that says no more than this gives none."""
STOCK_PHRASES_ZH = (
    *("根据有关法律规定", "根据法律规定", "按照有关规定", "依照现行规定", "根据有关规定", "不属于受理范围"),
    *("不予受理", "不符合规定", "不符合条件", "您的反映", "感谢您的反映"),
)

_STOCK = re.compile(
    r"\b(?:" + "|".join(sorted(map(re.escape, map(fold, STOCK_PHRASES)), key=len, reverse=True)) + r")\b"
)
_STOCK_ZH = re.compile("|".join(STOCK_PHRASES_ZH))

_TEXT_OF_LAW = re.compile(
    r"\b(?:hien phap|bo luat|(?<!phap )luat|phap lenh|nghi quyet|nghi dinh|quyet dinh|thong tu|chi thi|cong dien"
    r"|cong van|quy che|quy dinh so|huong dan so|dieu uoc|hiep dinh"
    r"|constitution|code|law|act|ordinance|resolution|decree|decision|circular|directive|dispatch|regulation|treaty)\b"
)
_TEXT_OF_LAW_ZH = re.compile("宪法|法典|法|法令|决议|决定|通知|通告|条例|议定|指示|规定第")
_NOTATION = re.compile(r"\d+\s*/\s*(?:\d{4}|[A-ZĐ]{2})")
_NUMBER = re.compile(r"\d|第")
MIN_WORDS_OF_A_NAME = 6
"""Of a text that has no number, such as a body's own rules."""

_WORDS_OF_THOSE_LAWS = frozenset(
    fold(
        "Luật Khiếu nại Luật Tố cáo Luật Tiếp công dân số năm và Điều khoản điểm Nghị định Thông tư"
        " law on the of and complaints denunciations denunciation reception citizens decree circular no art article"
        " year 申诉法 检举法 公民接待法 第 条 号 法令"
    ).split()
)
_PART_OF_NOTATION = re.compile("[0-9]+|[0-9]*(?:qh[0-9]*|nd|cp|tt|ttcp|[a-e])")

_NOT_COMPETENT = re.compile(
    r"\b(?:khong (?:thuoc|co|nam trong|dung) (?:pham vi )?tham quyen|(?:ngoai|vuot|vuot qua) (?:pham vi )?tham quyen"
    r"|khong thuoc (?:chuc nang|trach nhiem|pham vi quan ly|linh vuc quan ly)"
    r"|not (?:within|in|under) (?:our|its|the|this agency s|this body s) (?:competence|jurisdiction|remit|mandate)"
    r"|(?:outside|beyond) (?:our|its|the) (?:competence|jurisdiction|remit|mandate)"
    r"|(?:is|are) not (?:the )?competent|(?:have|has) no (?:competence|jurisdiction))\b"
)
_NOT_COMPETENT_ZH = re.compile(
    "不(?:属于?|在)[^。]{0,12}(?:职权|管辖|权限|主管)|超出[^。]{0,8}(?:职权|权限)|无管辖权|无权(?:办理|处理)"
)
_COURT = re.compile(r"\b(?:toa an|courts?)\b")


def says_something(text: str) -> bool:
    """False for the mere name of a reason, for stock phrases, and for a few letters or words over and over."""
    letters = {letter for letter in text.casefold() if letter.isalpha()}
    if len(letters) < MIN_DIFFERENT_LETTERS or fold(text) in _LABELS:
        return False
    left = _STOCK.sub(" ", fold(_STOCK_ZH.sub(" ", text)))
    return len(set(left.split())) >= MIN_DIFFERENT_WORDS


def names_a_text_of_law(text: str) -> bool:
    """True where a text of law is named: its notation, or its kind with a number, or with a name of some words."""
    if _NOTATION.search(text):
        return True
    folded = fold(text)
    if not (_TEXT_OF_LAW.search(folded) or _TEXT_OF_LAW_ZH.search(text)):
        return False
    return _NUMBER.search(text) is not None or len(folded.split()) >= MIN_WORDS_OF_A_NAME


def names_only_laws(text: str) -> bool:
    """True for the name of a law on complaints, denunciation or the reception of citizens, and not a word more."""
    return all(word in _WORDS_OF_THOSE_LAWS or _PART_OF_NOTATION.fullmatch(word) for word in fold(text).split())


def says_not_competent(text: str) -> bool:
    """True where a reason is that somebody else is competent."""
    return bool(_NOT_COMPETENT.search(fold(text)) or _NOT_COMPETENT_ZH.search(text))


def names_a_court(text: str) -> bool:
    """True where a court is spoken of."""
    return _COURT.search(fold(text)) is not None or "法院" in text
