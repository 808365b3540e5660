"""What can be searched, and how it is filled: shelves, their newest months, and which words are frequent in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import prod
from time import monotonic
from typing import LiteralString

from portalbus.schemas.search_text import MAX_QUERY_WORDS, fold
from portalbus.streams.reading.pool import Connection
from portalbus.streams.reading.shown import SHOWN

NEWEST = 5_000
"""About so many documents are searched first."""
LAYOUT_KEPT_S = 600.0
DAY_ZERO, MONTH = date(1900, 1, 1), timedelta(days=30)
COMING_DAYS = 60
LONGEST = timedelta(days=720)
"""A longer list of months costs more than it saves."""
MOST_INDEXED = 6
"""So many words of a query are looked up in the index, the rarest; each one more costs, and narrows little."""
FREQUENT: LiteralString = """
select jsonb_object(words, shares[1:cardinality(words)]) from (
    select most_common_elems::text::text[] as words, most_common_elem_freqs::text[] as shares
    from pg_stats where schemaname = 'ledger' and tablename = 'directive' and attname = 'search') known"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for. `kind` is a document type, of answers their regime; dates are the document's own."""

    text: str = ""
    agency: str | None = None
    kind: str | None = None
    field: str | None = None
    language: str | None = None
    since: date | None = None
    until: date | None = None
    withdrawn: bool = False

    @property
    def words(self) -> list[str]:
        """The folded words, at most as many as a query may have."""
        return fold(self.text).split()[:MAX_QUERY_WORDS]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Something that can be searched: SQL of its key, text, marks and day, as they stand in its indexes."""

    table: LiteralString
    key: LiteralString
    text: LiteralString
    marks: LiteralString
    day: LiteralString
    always: LiteralString
    in_force: LiteralString = "true"
    number: LiteralString | None = None
    has_titles: bool = False
    keeps_text: bool = False
    """The words of its text are stored. Where they are not, and of titles, `words` is what they are folded from."""
    words: LiteralString = ""


DIRECTIVES = Shelf(
    "ledger.directive",
    "key",
    "search",
    "search.marks(number || ' ' || title, agency, document_type, language, field, issued_on)",
    "issued_on",
    "true",
    "not withdrawn",
    "number <> '' and search.fold(number)",
    has_titles=True,
    keeps_text=True,
    words="number || ' ' || title",
)
ANSWERS = Shelf(
    "ledger.case c",
    "case_id",
    "search.answer_words(answer, reason_text)",
    "search.marks('', answered_by, regime, answer_language, field, (answered_at at time zone 'UTC')::date)",
    "(answered_at at time zone 'UTC')::date",
    f"answer_public and answered_at is not null and (answer is not null or reason_text is not null) and {SHOWN}",
    words="concat_ws(' ', answer, reason_text)",
)


@dataclass(frozen=True, slots=True)
class Window:
    """Days from `first` on and before `end`; with `outside`, all others."""

    first: date
    end: date
    outside: bool = False

    def touches(self, since: date | None, until: date | None) -> bool:
        """False when none of its days can be among these."""
        before = until is not None and until < self.first
        return self.outside or not (before or (since is not None and since >= self.end))

    @property
    def months(self) -> range:
        """The numbers of its months; none where they say nothing."""
        return range(0) if self.outside else range(_month(self.first), _month(self.end - timedelta(days=1)) + 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a shelf is filled: where its newest documents begin and end, and which words are frequent."""

    newest: Window | None
    shares: Mapping[str, float]

    def rarest(self, words: Sequence[str]) -> list[str]:
        """Those of many words that narrow most; all of a few."""
        return sorted(words, key=lambda word: self.shares.get(word, 0.0))[:MOST_INDEXED]

    def share(self, words: Sequence[str]) -> float:
        """Which share of all documents has them all, if they had nothing to do with each other; mostly it is more."""
        return prod(self.shares.get(word, 0.0) for word in words)

    def windows(self, asked: Asked) -> tuple[Window | None, ...]:
        """Where to look, in this order; None is everywhere: where an agency says enough.

        The newest, as many days before them, and all others: what many documents have need not be sought in all.
        """
        newest = self.newest
        if newest is None or asked.agency:
            return (None,)
        before = Window(max(newest.first - (newest.end - newest.first), newest.end - LONGEST), newest.first)
        parts = (newest, before, Window(before.first, newest.end, outside=True))
        return tuple(part for part in parts if part.first < part.end and part.touches(asked.since, asked.until))


@dataclass(slots=True)
class Layouts:
    """The layouts of the shelves; looked up again now and then."""

    _known: dict[str, tuple[float, Layout]] = field(default_factory=dict)

    async def of(self, connection: Connection, shelf: Shelf) -> Layout:
        """How a shelf is filled, as of the last ten minutes."""
        until, layout = self._known.get(shelf.table, (0.0, None))
        if layout is None or monotonic() >= until:
            layout = await _layout(connection, shelf)
            self._known[shelf.table] = (monotonic() + LAYOUT_KEPT_S, layout)
        return layout


def _month(day: date) -> int:
    return (day - DAY_ZERO) // MONTH


async def _layout(connection: Connection, shelf: Shelf) -> Layout:
    """Asks where the newest documents begin; the planner's statistics know which words are frequent."""
    newest = f"select {shelf.day} from {shelf.table} where {shelf.always} order by {shelf.day} desc"
    cursor = await connection.execute(f"select ({newest} limit 1), ({newest} offset {NEWEST} limit 1), ({FREQUENT})")
    row = await cursor.fetchone()
    last, start, frequent = row or (None, None, None)
    if last is None or start is None:
        return Layout(None, {})
    # Documents of the next two months belong to the newest; what claims to be later still comes after them.
    end = date.fromordinal(min(last.toordinal() + COMING_DAYS, date.max.toordinal()))
    first = max(DAY_ZERO + _month(start) * MONTH, end - LONGEST)
    shares = {word: float(share) for word, share in (frequent or {}).items()}
    return Layout(Window(first, end), shares)
