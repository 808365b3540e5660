"""One look at a source: reading, asking, comparing. It changes nothing, so `try` and `run` do the very same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from portalbus.connectors.pull.comparing import Deciding, Outcome, compare
from portalbus.connectors.pull.entry import Entry
from portalbus.connectors.pull.found import Before, Known, Presence, Reading, Remark
from portalbus.connectors.pull.kind import NotYet, ReadFailed, Source, Surroundings
from portalbus.connectors.pull.missing import to_ask
from portalbus.connectors.pull.remembered import Memory
from portalbus.schemas.identifiers import new_public_code


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found, what was decided on it, and the source, still open.

    `go_on` reads what one reading did not hold (`reading.more`), given what is remembered by then.
    """

    source: Source
    reading: Reading
    outcome: Outcome
    go_on: Callable[[Memory], Looked]


@contextmanager
def look(entry: Entry, memory: Memory, surroundings: Surroundings, *, afresh: bool = False) -> Iterator[Looked]:
    """Looks at a source; `afresh` reads everything, as if nothing had been read before. Raises ReadFailed."""
    source = entry.kind.open(entry.config, surroundings)

    def go_on(remembered: Memory) -> Looked:
        before = replace(remembered.before(afresh=afresh), cursor=remembered.cursor)
        return _looked(entry, source, remembered, before, surroundings, go_on)

    try:
        yield _looked(entry, source, memory, memory.before(afresh=afresh), surroundings, go_on)
    finally:
        source.close()


def _looked(
    entry: Entry,
    source: Source,
    memory: Memory,
    before: Before,
    surroundings: Surroundings,
    go_on: Callable[[Memory], Looked],
) -> Looked:
    config = entry.config
    reading = source.read(before)
    count = len(reading.ids)
    if count > config.max_items:
        raise ReadFailed(
            entry.name,
            f"{count} items are listed; max_items is {config.max_items}",
            "Raise max_items, or narrow down what is read",
        )
    now = surroundings.clock()
    deciding = Deciding(config, now, entry.judge, new_public_code, config.asks_pages)
    presence: dict[str, Presence] = {}
    remarks: list[Remark] = []
    if config.asks_pages and config.withdrawing.enabled:
        wanted = to_ask(memory, reading, config.withdrawing, now, getattr(config, "asks", 0))
        for item in wanted:
            try:
                presence[item.id] = source.ask(Known(item.id, item.url, item.mark, item.first_seen, item.data))
            except NotYet as later:
                remarks.append(Remark(later.place, f"{len(wanted)} pages were to be asked: {later.what}"))
                break
    outcome = compare(memory, reading, deciding, presence)
    outcome.remarks += remarks
    return Looked(source, reading, outcome, go_on)
