"""The words that were searched for, marked in a text; folded like the search, so `ket noi` marks `Kết nối`."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Self

from markupsafe import Markup, escape

from portalbus.schemas.search_text import IS_CJK, MAX_QUERY_WORDS, TOKEN, fold

BEFORE, LENGTH = 60, 240


@dataclass(frozen=True, slots=True)
class SearchWords:
    """What to mark: whole words, the beginning of a word (the last one typed), and runs of Chinese or Japanese."""

    words: frozenset[str] = frozenset()
    beginning: str = ""
    runs: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """The words of what a person typed."""
        tokens = TOKEN.findall(unicodedata.normalize("NFC", text))[:MAX_QUERY_WORDS]
        words = [fold(token) for token in tokens if not IS_CJK.match(token)]
        runs = tuple(_folded(token) for token in tokens if IS_CJK.match(token))
        ends_in_word = bool(tokens) and not IS_CJK.match(tokens[-1])
        return cls(frozenset(words), words[-1] if ends_in_word else "", runs)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where they are in `text`, as (start, end), in order."""
        found: list[tuple[int, int]] = []
        for token in TOKEN.finditer(text):
            if IS_CJK.match(token[0]):
                found.extend((token.start() + start, token.start() + end) for start, end in self._in_run(token[0]))
            elif self._is_marked(fold(token[0])):
                found.append(token.span())
        joined = _joined(text, found)
        # Where words stand together, they are what was meant: `ket noi` marks `kết nối`, not the `Nội` of `Hà Nội`.
        together = [span for span in joined if span not in found]
        return together or joined

    def _is_marked(self, word: str) -> bool:
        return word in self.words or (bool(self.beginning) and word.startswith(self.beginning))

    def _in_run(self, text: str) -> list[tuple[int, int]]:
        folded = _folded(text)
        found: list[tuple[int, int]] = []
        place = 0
        while place < len(folded):
            hit = next((run for run in self.runs if folded.startswith(run, place)), None)
            if hit:
                found.append((place, place + len(hit)))
            place += len(hit) if hit else 1
        return found


def marked(text: str, words: SearchWords) -> Markup:
    """The text with every word found in a `<mark>`."""
    parts: list[Markup] = []
    end = 0
    for start, stop in words.spans(text):
        parts += [escape(text[end:start]), Markup("<mark>{}</mark>").format(text[start:stop])]
        end = stop
    return Markup("").join([*parts, escape(text[end:])])


def snippet(text: str, words: SearchWords) -> Markup:
    """About 240 characters of `text` around the first word found, with what was found marked."""
    flat = " ".join(unicodedata.normalize("NFC", text).split())
    spans = words.spans(flat)
    start = max(spans[0][0] - BEFORE, 0) if spans else 0
    if start:
        start = flat.find(" ", start, start + 20) + 1 or start
    piece = flat[start : start + LENGTH]
    if len(flat) > start + LENGTH:
        cut = piece.rfind(" ", LENGTH - 20)
        piece = f"{piece[:cut] if cut > 0 else piece} …"
    return marked(f"… {piece}" if start else piece, words)


def _joined(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans with nothing but spaces between them made one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and not text[joined[-1][1] : start].strip() and start > joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _folded(run: str) -> str:
    """A run of CJK folded one character for one, so that places stay the same."""
    return "".join(folded if len(folded := fold(character)) == 1 else character for character in run)
