"""What is no longer found: when that is an alert, when it is only noted, and when it counts as withdrawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import floor
from typing import TYPE_CHECKING

from portalbus.connectors.pull.found import Listing, Presence, Reading
from portalbus.connectors.pull.remembered import Alert, Item, Memory, State
from portalbus.schemas.models import DirectivePublished

if TYPE_CHECKING:
    from portalbus.connectors.pull.comparing import Deciding
    from portalbus.connectors.pull.config import Withdrawing

TIMES = 2
"""So often an item must be missing before it is withdrawn."""
LISTING = ("pull.listing-empty", "pull.listing-shrunk")
PAGES = ("pull.pages-gone",)
SOURCE = ("pull.source-shrunk",)
SMALL = 1
"""So many may always be missing at once: of two items one is already half."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What follows from what was not found.

    `items` are those whose count changed, `withdrawn` those that were missing for long enough. `accepted` is the alert
    that an operator let pass, as long as it would be raised.
    """

    listed: int
    alert: Alert | None
    accepted: str
    items: tuple[Item, ...] = ()
    withdrawn: tuple[Item, ...] = ()


def find_missing(
    memory: Memory,
    dropped: Collection[str],
    reading: Reading,
    deciding: Deciding,
    presence: Mapping[str, Presence],
) -> Missing:
    """What is missing; `dropped` are ids that moved elsewhere, `presence` what the pages of asked items said."""
    if reading.more:
        return Missing(memory.listed, memory.alert, memory.accepted)
    everything = [item for item in memory.items.values() if item.state is State.STANDING and item.id not in dropped]
    standing = [item for item in everything if _counts(item)]
    complete = reading.listing is Listing.COMPLETE
    looks = reading.listing is not Listing.UNCHANGED
    unlisted = _unlisted(everything, reading) if complete else []
    lost = [item for item in unlisted if _counts(item)]
    shrunk = _own_alert(memory, reading, deciding)
    if shrunk is None:
        counts = len(everything if complete else standing), len(unlisted)
        shrunk = _listing_alert(memory, reading, *counts, deciding) if looks else _kept(memory, LISTING)
    if shrunk is not None and shrunk.rule != memory.accepted:
        return Missing(memory.listed, shrunk, memory.accepted)
    listed = len(reading.ids) if looks else memory.listed
    dead: Alert | None = None
    if deciding.asks:
        asked = [item for item in standing if item.id in presence]
        lost = [item for item in asked if presence[item.id] is Presence.GONE]
        dead = _pages_alert(len(lost), len(asked), deciding) if asked else _kept(memory, PAGES)
        if dead is not None and dead.rule != memory.accepted:
            return Missing(listed, dead, memory.accepted)
    accepted = memory.accepted if shrunk or dead else ""
    if not deciding.config.withdrawing.enabled:
        return Missing(listed, None, accepted)
    counted = [_counted(item, deciding.now, deciding.config.withdrawing) for item in lost]
    gone = {item.id for item in lost}
    found = [_found(item, presence.get(item.id), reading, deciding) for item in standing if item.id not in gone]
    return Missing(
        listed,
        None,
        accepted,
        tuple(item for item in found if item is not None) + tuple(item for item, _ in counted),
        tuple(item for item, ripe in counted if ripe),
    )


def to_ask(memory: Memory, reading: Reading, withdrawing: Withdrawing, now: datetime, limit: int) -> list[Item]:
    """Which items' own pages to ask whether they still stand: those that are no longer listed.

    First those once found gone, then those that stand between others that are still listed, then the ones asked
    longest ago; `limit` at most.
    """
    ids = reading.ids
    unchanged = reading.listing is Listing.UNCHANGED
    days = [str(item.data.get("issued_on", "")) for item in reading.items]
    oldest = min((day for day in days if day), default="")
    candidates = [
        item
        for item in memory.items.values()
        if _counts(item)
        and item.id not in ids
        and item.url
        and _is_time(item, withdrawing, now)
        # Without a new listing, those that were asked before are the ones known not to be listed.
        and not (unchanged and item.asked_at is None)
    ]

    def rank(item: Item) -> tuple[bool, bool, str]:
        inside = bool(oldest) and str(item.data.get("issued_on", "")) > oldest
        return not item.missing, not inside, item.asked_at.isoformat() if item.asked_at else ""

    return sorted(candidates, key=rank)[:limit]


def _is_time(item: Item, withdrawing: Withdrawing, now: datetime) -> bool:
    if item.missing_since is not None:
        return now - item.missing_since >= timedelta(seconds=withdrawing.after)
    return item.asked_at is None or now - item.asked_at >= timedelta(seconds=withdrawing.ask_every)


def _counts(item: Item) -> bool:
    return item.state is State.STANDING and item.event_type == DirectivePublished.event_type


def _bound(withdrawing: Withdrawing, count: int) -> int:
    return max(SMALL, floor(withdrawing.shrink * count))


def _unlisted(standing: Sequence[Item], reading: Reading) -> list[Item]:
    ids = reading.ids
    return [item for item in standing if item.id not in ids]


def _kept(memory: Memory, rules: Sequence[str]) -> Alert | None:
    """The alert of before, when nothing new is known about it."""
    return memory.alert if memory.alert is not None and memory.alert.rule in rules else None


def _listing_alert(memory: Memory, reading: Reading, standing: int, lost: int, deciding: Deciding) -> Alert | None:
    count = len(reading.ids)
    complete = reading.listing is Listing.COMPLETE
    if not complete and not deciding.asks:
        return None  # a source that only tells what is new may well have nothing new
    before = standing if complete else memory.listed
    if before and not count:
        return Alert(LISTING[0], f"nothing is listed any more; {before} were before", deciding.now)
    gone = lost if complete else before - count
    if gone > _bound(deciding.config.withdrawing, before):
        return Alert(LISTING[1], f"{gone} of {before} are not listed any more", deciding.now)
    return None


def _own_alert(memory: Memory, reading: Reading, deciding: Deciding) -> Alert | None:
    """What the kind itself saw, until somebody accepts it: it may see it once only."""
    return Alert(SOURCE[0], reading.alert, deciding.now) if reading.alert else _kept_until_accepted(memory)


def _kept_until_accepted(memory: Memory) -> Alert | None:
    return _kept(memory, SOURCE) if memory.accepted not in SOURCE else None


def _pages_alert(gone: int, asked: int, deciding: Deciding) -> Alert | None:
    if gone <= _bound(deciding.config.withdrawing, asked):
        return None
    return Alert(PAGES[0], f"{gone} of {asked} pages that were asked say that they are gone", deciding.now)


def _counted(item: Item, now: datetime, withdrawing: Withdrawing) -> tuple[Item, bool]:
    """The item, missing once more, and whether that is enough. Looks closer together than `after` count once."""
    if item.missing_since is None:
        return replace(item, missing=1, missing_since=now, asked_at=now), False
    if now - item.missing_since < timedelta(seconds=withdrawing.after):
        return replace(item, asked_at=now), False
    missing = item.missing + 1
    return replace(item, missing=missing, asked_at=now), missing >= TIMES


def _found(item: Item, presence: Presence | None, reading: Reading, deciding: Deciding) -> Item | None:
    """An item that was found after all (listed without being read, or its page answered), with its count at zero."""
    if presence is Presence.THERE:
        return replace(item, missing=0, missing_since=None, asked_at=deciding.now)
    if presence is Presence.UNKNOWN:
        return replace(item, asked_at=deciding.now)
    if presence is None and item.missing and item.id in (reading.listed or ()):
        return replace(item, missing=0, missing_since=None)
    return None
