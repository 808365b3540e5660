"""Feedback that says the same: invented texts, copies with other marks and ends, and paraphrases."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from portalbus.streams.warning.grouping import Groups
from portalbus.streams.warning.sketching import sketches

SAID = """
đường phố ngập nước mưa lớn nhiều ngày chưa được sửa chữa đề nghị cơ quan chức năng kiểm tra xử lý
rác thải sinh hoạt không thu gom mùi hôi ảnh hưởng sức khỏe người dân khu vực đèn chiếu sáng hỏng
ban đêm nguy hiểm hồ sơ đất đai nộp trễ hẹn trả kết quả cán bộ yêu cầu bổ sung giấy tờ trường học
thu tiền phụ huynh bệnh viện chờ lâu khám bảo hiểm điện cúp thường xuyên giá xe buýt dừng đỗ lấn
chiếm vỉa hè buôn bán tiếng ồn công trình xây dựng trái phép hòa giải thủy lợi quy hoạch treo dự án
bồi thường tái định cư nước sạch bẩn vàng đục ống vỡ tràn
"""
SYLLABLES = SAID.split()
FRAMES = ("kính gửi cơ quan chức năng", "tôi là người dân", "đề nghị sớm xem xét", "xin chân thành cảm ơn")


class Writing:
    """Writes texts; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        more = [self._random.choice("bcdghklmnprstvx") + self._random.choice("aeiouyâêôơư") + self._random.choice(
            ("", "n", "ng", "m", "t", "c", "i")) for _ in range(1_200)]  # fmt: skip
        self._words = SYLLABLES * 4 + more

    def text(self, words: int = 40) -> str:
        """A text of so many words between what everybody writes at the beginning and the end."""
        middle = " ".join(self._random.choices(self._words, k=max(words - 10, 5)))
        return f"{self._random.choice(FRAMES)}, {middle}. {self._random.choice(FRAMES)}."

    def copy(self, text: str) -> str:
        """The same text as somebody else's keyboard writes it, with a word of his own at its end."""
        forms = (str.upper, str.lower, lambda said: unicodedata.normalize("NFD", said), _without_marks, _old_tones)
        return f"{self._random.choice(forms)(text)} {self._random.choice(self._words)}!"

    def paraphrase(self, text: str, share: float = 0.12) -> str:
        """The same with every eighth word changed, left out or put in."""
        words: list[str] = []
        for word in text.split():
            if self._random.random() >= share:
                words.append(word)
                continue
            words += self._random.choice(
                ([], [self._random.choice(self._words)], [word, self._random.choice(self._words)])
            )
        return " ".join(words)


@dataclass(frozen=True)
class Text:
    """A text, which planted group it is of (None for none), and of which kind."""

    said: str
    group: int | None
    kind: str


def planted(writing: Writing, others: int, groups: int) -> list[Text]:
    """Other texts, and groups of one original with a copy or a paraphrase, mixed."""
    found = [Text(writing.text(writing._random.choice((25, 40, 80, 150))), None, "other") for _ in range(others)]
    for number in range(groups):
        original = writing.text(writing._random.choice((25, 40, 80, 150)))
        kind = ("copies", "paraphrases")[number % 2]
        found.append(Text(original, number, kind))
        found.append(Text(writing.copy(original) if kind == "copies" else writing.paraphrase(original), number, kind))
    writing._random.shuffle(found)
    return found


@dataclass
class Score:
    """Of pairs put together those that belong (precision); of planted pairs those that were found (recall)."""

    pairs: int
    precision: float
    recall: float


def score(texts: Sequence[Text]) -> dict[str, Score]:
    """Groups the texts and compares with what was planted."""
    groups = Groups(1 << 16)
    now = datetime.now(UTC)
    joined: list[tuple[Text, Text]] = []
    named = {str(number): text for number, text in enumerate(texts)}
    for number, (text, sketch) in enumerate(zip(texts, sketches([text.said for text in texts]), strict=True)):
        group = groups.add(sketch, str(number), "01", now) if sketch else None
        if group is not None:
            joined.append((text, named[group.first]))
    scores = {}
    for kind in ("copies", "paraphrases"):
        wanted = len({text.group for text in texts if text.kind == kind})
        mine = [(one, other) for one, other in joined if kind in (one.kind, other.kind)]
        right = sum(one.group is not None and one.group == other.group for one, other in mine)
        scores[kind] = Score(wanted, right / max(len(mine), 1), right / max(wanted, 1))
    wrong = sum(one.group is None and other.group is None for one, other in joined)
    scores["other"] = Score(len(texts), 1 - wrong / len(texts), 1.0)
    return scores


def _without_marks(text: str) -> str:
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()


def _old_tones(text: str) -> str:
    return text.replace("hòa", "hoà").replace("khỏe", "khoẻ").replace("thủy", "thuỷ")
