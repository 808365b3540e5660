"""The comparer: what was found against what is remembered, and what is to be published about the difference.

Pure: memory, reading and clock in; events and a new memory out. Nothing here reads, waits or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from portalbus.connectors.pull import naming
from portalbus.connectors.pull.config import PortalConfig
from portalbus.connectors.pull.content import content_digest
from portalbus.connectors.pull.found import FoundItem, Listing, Presence, Reading, Remark
from portalbus.connectors.pull.judging import Judged
from portalbus.connectors.pull.missing import Missing, find_missing
from portalbus.connectors.pull.remembered import Item, Memory, State
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, Payload
from portalbus.schemas.rules import EARLIEST_YEAR, VIET_NAM

DIRECTIVE = DirectivePublished.event_type
RECEIVED = FeedbackReceived.event_type


class What(StrEnum):
    """What became of an item, in one word."""

    PUBLICATION = "publication"
    REVISION = "revision"
    MOVE = "move"
    WITHDRAWAL = "withdrawal"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class Decided:
    """One event to publish; its id follows from what it says, so that publishing it again changes nothing."""

    event_id: str
    what: What
    item_id: str
    payload: Payload
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """One item that a rule refuses; `new` when it was not refused for the same before."""

    item_id: str
    url: str
    findings: tuple[Finding, ...]
    new: bool


@dataclass(slots=True)
class Outcome:
    """What one comparison decided: events in the order to publish them, and the memory afterwards."""

    memory: Memory
    events: list[Decided] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    changed: dict[str, Item] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Deciding:
    """What the comparer must know besides memory and reading."""

    config: PortalConfig
    now: datetime
    judge: Callable[[str, Mapping[str, Any], str, datetime], Judged]
    new_public_code: Callable[[], str]
    asks: bool = False


def compare(
    memory: Memory, reading: Reading, deciding: Deciding, presence: Mapping[str, Presence] | None = None
) -> Outcome:
    """Decides on publication, revision, move and withdrawal.

    `presence` holds what the pages of items answered that were asked whether they still stand.
    """
    outcome = Outcome(replace(memory, items=dict(memory.items)))
    if reading.listing is not Listing.UNCHANGED:
        comparison = _Comparison(memory, reading, deciding, outcome)
        for found in reading.items:
            comparison.take(found)
    _take_missing(find_missing(memory, outcome.dropped, reading, deciding, presence or {}), deciding, outcome)
    items = {name: item for name, item in memory.items.items() if name not in outcome.dropped} | outcome.changed
    outcome.memory = replace(outcome.memory, items=items, cursor=reading.cursor)
    outcome.remarks += [*reading.remarks, *(remark for item in reading.items for remark in item.remarks)]
    outcome.events.sort(key=lambda decided: decided.occurred_at)
    return outcome


class _Comparison:
    """One reading against one memory."""

    def __init__(self, memory: Memory, reading: Reading, deciding: Deciding, outcome: Outcome) -> None:
        self._items = memory.items
        self._listed = reading.ids
        self._deciding = deciding
        self._outcome = outcome
        self._seen: set[str] = set()
        # An answer has the case id of what it answers.
        self._keys = {(item.event_type, item.key): item.id for item in memory.items.values()}
        # Only who knows all that stands, or can ask, may say that an item is no longer where it was.
        tells = not reading.more and (reading.listing is Listing.COMPLETE or deciding.asks)
        self._movable = {
            item.content: item
            for item in memory.items.values()
            if tells and item.state is State.STANDING and item.event_type == DIRECTIVE and item.id not in self._listed
        }

    def take(self, found: FoundItem) -> None:
        """Decides on one found item."""
        if found.id in self._seen:
            self._outcome.remarks.append(Remark(found.id, "this id is there twice; the first one counts"))
            return
        self._seen.add(found.id)
        content = content_digest(found.data)
        before = self._items.get(found.id)
        if before is None and (moved := self._movable.pop(content, None)) is not None:
            self._outcome.dropped.add(moved.id)
            before = replace(moved, id=found.id)
        item = before or self._new(found)
        if (
            owner := self._keys.setdefault((item.event_type, item.key), item.id)
        ) != item.id and owner not in self._outcome.dropped:
            self._outcome.remarks.append(Remark(found.id, f"{item.key} is the id of {owner} already; left out"))
            return
        if item.state is State.WITHDRAWN:
            item = self._risen(item)
        item = replace(item, url=found.url, mark=found.mark, missing=0, missing_since=None, asked_at=None)
        decide = self._directive if found.event_type == DIRECTIVE else self._feedback
        item = decide(found, item, content)
        if item != self._items.get(found.id):
            self._outcome.changed[found.id] = item
        else:
            self._outcome.unchanged += 1

    def _new(self, found: FoundItem) -> Item:
        config = self._deciding.config
        if found.event_type == DIRECTIVE:
            key = str(found.data.get("directive_id") or naming.directive_id(config.portal, config.entry, found.id))
        else:
            case = naming.case_id(config.agency, config.portal, config.entry, found.id)
            key = str(found.data.get("case_id") or case)
        return Item(found.id, found.event_type, key, self._deciding.now)

    def _risen(self, item: Item) -> Item:
        """A withdrawn directive is closed for good: what comes back is a new one."""
        life = item.life + 1
        key = naming.later_life(item.key, life)
        return Item(item.id, item.event_type, key, self._deciding.now, life=life)

    def _directive(self, found: FoundItem, item: Item, content: str) -> Item:
        moved = item.data.get("canonical_url") != found.data.get("canonical_url")
        if item.state is State.STANDING and content == item.content and not moved:
            return replace(item, refused_content="", refusals=())
        issued = found.data.get("issued_on") or item.first_seen.astimezone(VIET_NAM).date().isoformat()
        since = self._deciding.config.since
        if item.state is State.NEW and since is not None and str(issued) < since.isoformat():
            return replace(item, refused_content=content, refusals=())
        version = item.version + 1
        data = {
            **found.data,
            "issued_on": issued,
            "directive_id": item.key,
            "version": version,
            "action": "PUBLISH" if version == 1 else "REVISE",
        }
        what = What.PUBLICATION if version == 1 else What.MOVE if content == item.content else What.REVISION
        kept = {name: value for name, value in data.items() if name not in ("body", "action", "version")}
        return self._publish(found, item, content, data, replace(item, version=version, data=kept), what)

    def _feedback(self, found: FoundItem, item: Item, content: str) -> Item:
        if item.state is State.STANDING:
            if content != item.content and content != item.refused_content:
                text = "it was changed after it was published; a feedback cannot be revised, so nothing is published"
                self._outcome.remarks.append(Remark(found.id, text))
            return replace(item, refused_content=content if content != item.content else "")
        data = {**found.data, "case_id": item.key}
        if found.event_type == RECEIVED:
            code = found.data.get("public_code") or item.data.get("public_code") or self._deciding.new_public_code()
            data["public_code"] = code
            item = replace(item, data={"public_code": code})
        return self._publish(found, item, content, data, replace(item, version=1), What.FEEDBACK)

    def _publish(
        self, found: FoundItem, before: Item, content: str, data: Mapping[str, Any], after: Item, what: What
    ) -> Item:
        config, now = self._deciding.config, self._deciding.now
        place = str(data.get("canonical_url", ""))
        event_id = naming.event_id(config.entry, before.key, after.version, f"{content}\n{place}")
        occurred_at = _plausible(found.occurred_at, now)
        judged = self._deciding.judge(found.event_type, data, event_id, occurred_at)
        if judged.payload is None:
            refusals = tuple(finding.explain() for finding in judged.findings)
            news = (content, refusals) != (before.refused_content, before.refusals)
            self._outcome.refused.append(Refused(found.id, found.url, judged.findings, news))
            return replace(before, refused_content=content, refusals=refusals)
        self._outcome.events.append(Decided(event_id, what, found.id, judged.payload, occurred_at))
        return replace(after, state=State.STANDING, content=content, refused_content="", refusals=())


def _take_missing(missing: Missing, deciding: Deciding, outcome: Outcome) -> None:
    """Counts what was not found, raises or ends the alert, and withdraws what was missing for long enough."""
    before = outcome.memory.alert
    alert = missing.alert
    if alert is not None and before is not None and before.rule == alert.rule:
        alert = replace(alert, since=before.since)
    outcome.memory = replace(outcome.memory, alert=alert, listed=missing.listed, accepted=missing.accepted)
    for item in missing.items:
        outcome.changed.setdefault(item.id, item)
    for item in missing.withdrawn:
        outcome.changed[item.id] = _withdraw(item, deciding, outcome)


def _withdraw(item: Item, deciding: Deciding, outcome: Outcome) -> Item:
    version = item.version + 1
    data = {
        **item.data,
        "action": "WITHDRAW",
        "version": version,
        "body": "",
        "body_format": "TEXT",
        "withdrawal_reason": deciding.config.withdrawing.reason,
    }
    event_id = naming.event_id(deciding.config.entry, item.key, version, "withdrawn")
    judged = deciding.judge(item.event_type, data, event_id, deciding.now)
    if judged.payload is None:
        outcome.refused.append(Refused(item.id, item.url, judged.findings, new=True))
        return item
    outcome.events.append(Decided(event_id, What.WITHDRAWAL, item.id, judged.payload, deciding.now))
    return replace(item, state=State.WITHDRAWN, version=version, content="")


def _plausible(occurred_at: datetime | None, now: datetime) -> datetime:
    """When it happened, as far as the source may be believed: not in the future, and not before there was a state."""
    if occurred_at is None or occurred_at > now or occurred_at.year <= EARLIEST_YEAR:
        return now
    return occurred_at
