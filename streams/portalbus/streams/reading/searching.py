"""Search over directives and public answers: by number, by the words of the title, by all words; of equals the newest.

A search reads as little as it can. What narrows it lies in the same index as the words (`search.marks` of migration
0010), months among it: when every word is a frequent one, the newest months are searched first, and all others only
while the page is not full. So a word that half of all documents have costs no more than a rare one. The order is the
document's own date, not ours, because a portal that joins brings years of documents on one day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from portalbus.schemas.search_text import fold
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.search_shelves import MOST_INDEXED, Asked, Layout, Layouts, Shelf, Window

MOST = 200
"""So many are ranked; who finds none of them right has to say more."""
SHORTEST_BEGINNING = 2
WORTH_WALKING, LONGEST_WALK = 0.02, 1_500
"""Where this share of all documents has every word, looking at the newest ones themselves is quickest."""
MOST_TESTED = (300, 5_000)
"""Of what the rarest words find, so much is asked for the other words first; where that gives too little, so much."""
NOTATION = re.compile(r"(?<!\w)[0-9]{1,6}[a-zA-Z]?\s?[/-]\s?[^\W_][\w/.-]*")


@dataclass(frozen=True, slots=True)
class Found:
    """Keys, the best first; `more` tells whether others follow."""

    keys: tuple[str, ...]
    more: bool


async def search(
    connection: Connection, layouts: Layouts, shelf: Shelf, asked: Asked, *, skip: int = 0, limit: int = 20
) -> Found:
    """The keys of what matches best, `limit` of them after `skip`; of more than 200 the rest is left out."""
    need = min(skip + limit + 1, MOST + 1)
    found: list[str] = []
    if asked.text and not asked.words:
        return Found((), False)
    layout = await layouts.of(connection, shelf)
    windows = layout.windows(asked)
    for step in _steps(shelf, asked):
        if step.only_without and found:
            break
        if step.text and not step.begun and _is_worth_walking(shelf, asked, layout):
            found += await _walk(connection, shelf, asked, found, need - len(found))
        for window in windows if step.in_windows else (None,):
            if len(found) < need:
                found += await _look(connection, shelf, layout, asked, step, window, found, need - len(found))
        if len(found) >= need:
            break
    shown = found[: min(need - 1, MOST)]
    return Found(tuple(shown[skip:]), len(found) > skip + limit and skip + limit < MOST)


@dataclass(frozen=True, slots=True)
class _Step:
    """One way to match: words of the text, of the title, or a number's beginning. `begun`: the last word is one too."""

    text: tuple[str, ...] = ()
    titled: tuple[str, ...] = ()
    number: str = ""
    begun: bool = False
    in_windows: bool = True
    only_without: bool = False


def _steps(shelf: Shelf, asked: Asked) -> Iterator[_Step]:
    words = tuple(asked.words)
    if not words:
        yield _Step()
        return
    if shelf.number and (typed := NOTATION.search(asked.text)):
        yield _Step(number=fold(typed[0]), in_windows=False)
    is_titled = shelf.has_titles and all(map(str.isascii, words))
    if is_titled:
        yield _Step(titled=words)
    yield _Step(text=words)
    if len(words[-1]) >= SHORTEST_BEGINNING or not words[-1].isascii():
        if is_titled:
            yield _Step(titled=words, begun=True, in_windows=False, only_without=True)
        yield _Step(text=words, begun=True, in_windows=False, only_without=True)


async def _look(
    connection: Connection,
    shelf: Shelf,
    layout: Layout,
    asked: Asked,
    step: _Step,
    window: Window | None,
    found: Sequence[str],
    most: int,
) -> list[str]:
    """Looks the words up in the index: of many only the rarest; what they find is asked for the others."""
    where, values = _within(shelf, asked, window, found, most)
    marks = _narrowing(asked)
    if window and (months := window.months):
        marks.append(f"({' | '.join(_lexeme(f'#m{month}') for month in months)})")
    if step.text:
        where.append(f"{shelf.text} @@ to_tsquery('simple', %(text)s)")
        values["text"] = _all_of(layout.rarest(step.text), step)
    if step.titled:
        marks.append(_all_of(layout.rarest(step.titled), step))
    if step.number:
        where.append(f"{shelf.number} like %(number)s")
        values["number"] = f"{step.number}%"
    if marks:
        where.append(f"{shelf.marks} @@ %(marks)s::tsquery")
        values["marks"] = " & ".join(marks)
    # The sum keeps the planner from the index on days: the words and the months among the marks say more.
    order = f"{shelf.day} + 0 desc, {shelf.key}"
    query = f"select * from {shelf.table} where {' and '.join(where)} order by {order}"
    if len(step.text or step.titled) <= MOST_INDEXED:
        return await _keys(connection, shelf, query, "true", values)
    return await _tested(connection, shelf, f"{query} limit", step, values, most)


async def _tested(
    connection: Connection, shelf: Shelf, query: str, step: _Step, values: dict[str, Any], most: int
) -> list[str]:
    """Of what the rarest words find, in its order, what has the other words too."""
    is_stored = bool(step.text) and shelf.keeps_text
    test = f"{shelf.text} @@ to_tsquery('simple', %(whole)s)" if is_stored else shelf.words
    values["whole"] = _all_of(step.text or step.titled, step)
    right: list[str] = []
    for limit in MOST_TESTED:
        cursor = await connection.execute(f"select {shelf.key}, {test} from ({query} {limit}) found", values)
        rows = await cursor.fetchall()
        right = [key for key, told in rows if (told if is_stored else _has_all(str(told), step))][:most]
        if len(right) == most or len(rows) < limit:
            break
    return right


def _has_all(text: str, step: _Step) -> bool:
    words = step.text or step.titled
    known = set(fold(text).split())
    ends = any(word.startswith(words[-1]) for word in known) if step.begun else words[-1] in known
    return ends and all(word in known for word in words[:-1])


async def _walk(connection: Connection, shelf: Shelf, asked: Asked, found: Sequence[str], most: int) -> list[str]:
    """Looks at the newest documents themselves."""
    where, values = _within(shelf, asked, None, found, most)
    values["text"] = " & ".join(asked.words)
    newest = f"select * from {shelf.table} order by {shelf.day} desc limit {LONGEST_WALK}"
    where.append(f"{shelf.text} @@ to_tsquery('simple', %(text)s)")
    return await _keys(connection, shelf, newest, " and ".join(where), values)


def _is_worth_walking(shelf: Shelf, asked: Asked, layout: Layout) -> bool:
    is_narrowed = any((asked.agency, asked.kind, asked.field, asked.language, asked.until))
    return shelf.has_titles and not is_narrowed and layout.share(asked.words) >= WORTH_WALKING


def _within(
    shelf: Shelf, asked: Asked, window: Window | None, found: Sequence[str], most: int
) -> tuple[list[str], dict[str, Any]]:
    """The conditions and values of every look."""
    where: list[str] = [shelf.always, *([] if asked.withdrawn else [shelf.in_force])]
    values: dict[str, Any] = {"found": list(found), "most": most}
    for name, sign, day in (("since", ">=", asked.since), ("until", "<=", asked.until)):
        if day is not None:
            where.append(f"{shelf.day} + 0 {sign} %({name})s")
            values[name] = day
    if window is not None:
        within = f"({shelf.day} + 0 >= %(first)s and {shelf.day} + 0 < %(end)s)"
        where.append(f"not {within}" if window.outside else within)
        values |= {"first": window.first, "end": window.end}
    if found:
        where.append(f"{shelf.key} <> all(%(found)s)")
    return where, values


async def _keys(connection: Connection, shelf: Shelf, query: str, tested: str, values: dict[str, Any]) -> list[str]:
    """The keys of what a query gives and a test lets through, in the query's order."""
    cursor = await connection.execute(f"select {shelf.key} from ({query}) found where {tested} limit %(most)s", values)
    return [key async for (key,) in cursor]


def _all_of(words: Sequence[str], step: _Step) -> str:
    """A tsquery for all these words of a step."""
    last = (step.text or step.titled)[-1]
    named = {word: _lexeme(f"~{word}") if step.titled else word for word in words}
    return " & ".join(named[word] + (":*" if step.begun and word == last else "") for word in words)


def _narrowing(asked: Asked) -> list[str]:
    """What was asked for beside words, as lexemes of `search.marks`."""
    given = (
        ("#a", asked.agency and asked.agency.split(".")[0]),
        ("#t", asked.kind),
        ("#l", asked.language and asked.language.lower()),
    )
    marks = [_lexeme(sign + value) for sign, value in given if value]
    if asked.field:
        marks.append(_lexeme("#f" + _md5(asked.field)))
    return marks


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # as migration 0010 does it


def _lexeme(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
