"""Composes what portals and citizens say, from the grammar and a source of chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from portalbus.infra.demo.grammar import Concern, Grammar, Refusal, Topic
from portalbus.schemas.directory import Agency

TYPES = {
    "CT": ("Chỉ thị", "CT"),
    "CV": ("Công văn", "CV"),
    "KH": ("Kế hoạch", "KH"),
    "CD": ("Công điện", "CĐ"),
    "TB": ("Thông báo", "TB"),
    "HD": ("Hướng dẫn", "HD"),
    "QD-CB": ("Quyết định", "QĐ"),
}
"""Types of directives in the demo: code, word in the title, mark in the number."""


FOREIGN_REVISIONS = {
    "en": "The time limit for reporting is extended to 31 December 2026.",
    "zh": "报告期限延长至2026年12月31日。",
}


@dataclass(frozen=True)
class DirectiveText:
    """The words of a directive."""

    title: str
    body: str
    field: str
    language: str
    abstract: str | None = None


@dataclass(frozen=True)
class FeedbackText:
    """The words of a citizen, already without names."""

    subject: str
    content: str
    field: str


@dataclass(frozen=True)
class Trouble:
    """What one case is about; `places` fills up as it is told, so that the answer speaks of the same road."""

    about: str
    concern: Concern
    places: dict[str, str] = field(default_factory=dict)


class Writer:
    """Writes texts; the same chance gives the same texts."""

    def __init__(self, words: Grammar, random: Random) -> None:
        self._grammar = words
        self._random = random

    def topic(self, agency: Agency) -> Topic:
        """A field of public life that an agency speaks of."""
        topics = self._grammar.topics
        own = [topic for topic in topics if agency.code in topic.agencies]
        general = [topic for topic in topics if "G22" in topic.agencies]
        return self._random.choice(topics if agency.kind == "province" else own or general)

    def trouble(self, topic: Topic) -> Trouble:
        """Something that troubles a citizen somewhere."""
        return Trouble(topic.field, self._random.choice(topic.concern))

    def directive(self, document_type: str, topic: Topic) -> DirectiveText:
        """A directive in Vietnamese: title, grounds, numbered measures, follow-up."""
        places: dict[str, str] = {}
        subject = self._say(self._random.choice(topic.directive), places)
        measures = self._random.sample(list(topic.measure), self._random.randint(3, min(5, len(topic.measure))))
        lines = [f"{self._word('grounds')} cơ quan ban hành yêu cầu các đơn vị thực hiện các nội dung sau:"]
        lines += [f"{number}. {self._say(measure, places)}" for number, measure in enumerate(measures, 1)]
        lines.append(self._word("follow_up"))
        title = f"{TYPES[document_type][0]} về việc {subject}"
        return DirectiveText(title, "\n".join(lines), topic.field, "vi", f"V/v {subject}")

    def foreign_directive(self) -> DirectiveText:
        """A directive in English or Chinese."""
        text = self._random.choice(self._grammar.foreign)
        return DirectiveText(text.title, text.body, text.field, text.language)

    def revised(self, body: str, language: str) -> str:
        """A body with one more paragraph."""
        return f"{body}\n{FOREIGN_REVISIONS.get(language) or self._word('revision')}"

    def withdrawal_reason(self) -> str:
        """Why a directive is withdrawn."""
        return self._word("withdrawal")

    def signer(self, agency: Agency) -> str:
        """Who signs: an office, never a person."""
        offices = [
            office for office in self._grammar.words["signer"] if ("Ủy ban" in office) == (agency.kind == "province")
        ]
        return self._random.choice(offices)

    def feedback(self, trouble: Trouble) -> FeedbackText:
        """A feedback: greeting, what happened, what is asked for."""
        concern, places = trouble.concern, trouble.places
        subject = self._say(concern.subject, places)
        parts = [self._word("greeting", places), self._say(concern.detail, places), self._word("request", places)]
        return FeedbackText(subject, "\n".join(parts), trouble.about)

    def answer(self, trouble: Trouble) -> str:
        """An answer: thanks, what was found, closing words."""
        places = trouble.places
        parts = [
            self._word("thanks", places),
            self._say(trouble.concern.finding, places),
            self._word("closing", places),
        ]
        return "\n".join(parts)

    def refusal(self) -> Refusal:
        """A way to refuse."""
        return self._random.choice(self._grammar.refusals)

    def _say(self, template: str, places: dict[str, str] | None = None) -> str:
        text = self._grammar.say(self._random, template, places)
        return text if template[0] != "{" else text[0].upper() + text[1:]

    def _word(self, kind: str, places: dict[str, str] | None = None) -> str:
        return self._say(self._random.choice(self._grammar.words[kind]), places)
