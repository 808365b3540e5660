"""What a citizen wrote, without what leads to the person: the contract wants the text alone, the person stays outside.

What has a form is taken out: addresses of mail, telephone and identity numbers, and what follows words such as
"Họ và tên:". A name in the middle of a sentence has no form; names that are known otherwise are given.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

OMITTED = "[đã lược]"
MIN_NAME_CHARACTERS = 4

_LABELS = (
    r"họ\s*(?:và\s*|,\s*)?tên|tên\s+(?:tôi|người\s+(?:gửi|phản\s+ánh|dân))|người\s+(?:gửi|phản\s+ánh|làm\s+đơn)"
    r"|(?:số\s+)?điện\s+thoại(?:\s+liên\s+hệ)?|s?đt|di\s+động|e-?mail|thư\s+điện\s+tử|zalo|facebook"
    r"|địa\s+chỉ(?:\s+(?:thường\s+trú|liên\s+hệ|nhà|tạm\s+trú))?|nơi\s+(?:ở|thường\s+trú)"
    r"|(?:số\s+)?(?:cccd|cmnd|cmt|căn\s+cước(?:\s+công\s+dân)?|hộ\s+chiếu)|ngày\s+sinh|năm\s+sinh|số\s+tài\s+khoản"
    r"|full\s+name|phone(?:\s+number)?|address|id\s+number"
)
# Bounded gaps and no nested repetition: the time grows with the length of the text and no faster.
AFTER_LABEL = re.compile(rf"(?im)^([ \t>*-]{{0,8}}(?:{_LABELS})[ \t]{{0,4}}[:：])[^\n]+$")
INTRODUCTION = re.compile(
    r"(?i)\b((?:tôi\s+(?:tên\s+)?là|tên\s+tôi\s+là|em\s+tên\s+là|my\s+name\s+is)\s+)([^\n,.;:()]{2,60})"
)
MAIL_ADDRESS = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
TELEPHONE = re.compile(r"(?<![\w/])(?:\+|00)?(?:84|0)(?:[ .\-()]{0,2}\d){8,10}(?![\w/])")
LONG_NUMBER = re.compile(r"(?<![\w.,/])\d{9,19}(?![\w/])")


def redacted(text: str, names: Iterable[str] = ()) -> str:
    """The text with `[đã lược]` in the places of what leads to a person; `names` are taken out wherever they stand."""
    text = unicodedata.normalize("NFC", text)
    text = AFTER_LABEL.sub(rf"\1 {OMITTED}", text)
    text = INTRODUCTION.sub(_without_name, text)
    for name in sorted(set(names), key=len, reverse=True):
        if len(name := unicodedata.normalize("NFC", name).strip()) >= MIN_NAME_CHARACTERS:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", OMITTED, text, flags=re.IGNORECASE)
    for pattern in (MAIL_ADDRESS, TELEPHONE, LONG_NUMBER):
        text = pattern.sub(OMITTED, text)
    return text


def _without_name(found: re.Match[str]) -> str:
    """'tôi là Nguyễn Văn A' names somebody; 'tôi là người dân tổ 5' does not."""
    words = found.group(2).split()
    name: list[str] = []
    for word in words[:5]:
        if not word[0].isupper():
            break
        name.append(word)
    if not name:
        return found.group(0)
    return f"{found.group(1)}{' '.join([OMITTED, *words[len(name) :]])}"
