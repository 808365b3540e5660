"""The comparer: publication, revision, move and withdrawal follow from content; what is doubtful withdraws nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from portalbus.connectors.pull.comparing import Deciding, Outcome, What, compare
from portalbus.connectors.pull.config import PortalConfig
from portalbus.connectors.pull.found import FoundItem, Listing, Presence, Reading
from portalbus.connectors.pull.judging import Judge
from portalbus.connectors.pull.missing import to_ask
from portalbus.connectors.pull.remembered import Memory, State
from portalbus.schemas.models import DirectivePublished
from pulled_portal import START, HandClock

JUDGE = Judge("H26", "www")
FEEDBACK = {
    "regime": "R2",
    "category": 1,
    "channel": "WEB",
    "received_at": "2026-11-20T01:00:00Z",
    "addressed_to": "H26",
    "subject": "Đèn đường hỏng",
    "content": "Đèn đường trên phố hỏng đã ba tuần.",
    "language": "vi",
}


class Asking(PortalConfig):
    """A source whose items' own pages are asked."""

    @property
    def asks_pages(self) -> bool:
        """Always."""
        return True


class Story:
    """One source over time: each reading is compared with what was remembered before."""

    def __init__(self, asks: bool = False, **settings: Any) -> None:
        config = Asking if asks else PortalConfig
        said = {"agency": "H26", "kind": "any", "address": "x", **settings}
        self.config = config.model_validate(said)
        self.clock = HandClock()
        self.memory = Memory()

    def reads(self, *items: FoundItem, **about: Any) -> Outcome:
        """What a reading leads to; `later` hours have passed."""
        self.clock.forward(hours=about.pop("later", 0.25))
        presence = about.pop("presence", {})
        reading = Reading(items, about.pop("listing", Listing.COMPLETE), **about)
        deciding = Deciding(self.config, self.clock(), JUDGE, lambda: "7GQ2M0Z4KX9A", self.config.asks_pages)
        outcome = compare(self.memory, reading, deciding, presence)
        self.memory = outcome.memory
        return outcome

    def item(self, name: str = "1", **changed: Any) -> FoundItem:
        """A right item."""
        data = {
            "title": f"Thông báo {name}",
            "body": f"Nội dung của thông báo {name}.",
            "body_format": "TEXT",
            "number": "",
            "document_type": "TB",
            "language": "vi",
            "issued_on": "2026-11-19",
            "canonical_url": f"https://hanoi.gov.vn/{name}",
            **changed,
        }
        return FoundItem(name, data, url=str(data["canonical_url"]))


def said(outcome: Outcome) -> list[tuple[str, str]]:
    return [(decided.what.value, decided.item_id) for decided in outcome.events]


def test_a_new_item_is_published_as_version_1_and_the_same_again_is_nothing() -> None:
    story = Story()
    (decided,) = story.reads(story.item()).events
    assert isinstance(decided.payload, DirectivePublished)
    assert (decided.what, decided.payload.action, decided.payload.version) == (What.PUBLICATION, "PUBLISH", 1)
    again = story.reads(story.item())
    assert (again.events, again.unchanged) == ([], 1)


def test_text_that_is_only_spelled_or_spaced_otherwise_has_not_changed() -> None:
    story = Story()
    story.reads(story.item(body="Hòa  Bình\r\nngày 20"))
    decomposed = "Ho\u0300a Bi\u0300nh\nngày 20 "
    assert story.reads(story.item(body=decomposed)).events == []


def test_changed_content_is_the_next_version_and_a_changed_address_alone_is_a_move() -> None:
    story = Story()
    story.reads(story.item())
    (revised,) = story.reads(story.item(body="Nội dung mới.")).events
    (moved,) = story.reads(story.item(body="Nội dung mới.", canonical_url="https://hanoi.gov.vn/new")).events
    assert (revised.what, revised.payload.version) == (What.REVISION, 2)  # type: ignore[union-attr]
    assert (moved.what, moved.payload.version) == (What.MOVE, 3)  # type: ignore[union-attr]
    assert len({revised.event_id, moved.event_id}) == 2


def test_the_same_content_under_another_id_is_the_same_directive_that_moved() -> None:
    story = Story()
    (first,) = story.reads(story.item("1"), story.item("2")).events[:1]
    moved = replace(story.item("1", canonical_url="https://hanoi.gov.vn/other"), id="other")
    outcome = story.reads(moved, story.item("2"))
    (decided,) = outcome.events
    assert decided.what is What.MOVE
    assert decided.payload.directive_id == first.payload.directive_id  # type: ignore[union-attr]
    assert set(story.memory.items) == {"other", "2"}
    assert story.reads(moved, story.item("2")).events == []


def test_two_items_that_both_stand_with_the_same_content_are_two_directives() -> None:
    story = Story()
    story.reads(story.item("1"))
    twin = replace(story.item("1"), id="twin")
    assert said(story.reads(story.item("1"), twin)) == [("publication", "twin")]


def test_an_item_is_withdrawn_when_it_is_missing_twice_with_time_between() -> None:
    story = Story()
    items = [story.item(str(number)) for number in range(10)]
    story.reads(*items)
    assert story.reads(*items[1:]).events == []
    assert story.reads(*items[1:], later=0.5).events == []  # missing again, but too soon
    (decided,) = story.reads(*items[1:], later=0.6).events
    assert (decided.what, decided.item_id) == (What.WITHDRAWAL, "0")
    assert decided.payload.version == 2  # type: ignore[union-attr]
    assert decided.payload.withdrawal_reason == story.config.withdrawing.reason  # type: ignore[union-attr]
    assert story.reads(*items[1:], later=50).events == []


def test_an_item_that_comes_back_in_time_was_never_missing() -> None:
    story = Story()
    items = [story.item(str(number)) for number in range(10)]
    story.reads(*items)
    story.reads(*items[1:])
    assert story.reads(*items, later=2).events == []
    assert story.reads(*items[1:], later=2).events == []
    assert story.memory.items["0"].missing == 1


def test_what_comes_back_after_a_withdrawal_is_a_new_directive() -> None:
    story = Story()
    items = [story.item(str(number)) for number in range(10)]
    first = story.reads(*items).events[0]
    story.reads(*items[1:])
    story.reads(*items[1:], later=2)
    (decided,) = story.reads(*items).events
    assert decided.what is What.PUBLICATION
    assert decided.payload.directive_id == f"{first.payload.directive_id}~2"  # type: ignore[union-attr]
    assert decided.payload.version == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("left", "rule"), [(0, "pull.listing-empty"), (6, "pull.listing-shrunk")])
def test_a_listing_that_is_empty_or_shrinks_suddenly_is_an_alert_and_withdraws_nothing(left: int, rule: str) -> None:
    story = Story()
    items = [story.item(str(number)) for number in range(10)]
    story.reads(*items)
    for _ in range(3):
        assert story.reads(*items[:left], later=24).events == []
        assert story.memory.alert is not None
        assert story.memory.alert.rule == rule
    assert story.reads(*items).events == []
    assert story.memory.alert is None


def test_an_alert_that_an_operator_lets_pass_withdraws_in_the_usual_way() -> None:
    story = Story()
    items = [story.item(str(number)) for number in range(10)]
    story.reads(*items)
    story.reads(*items[:4])
    story.memory = replace(story.memory, accepted="pull.listing-shrunk")
    assert story.reads(*items[:4]).events == []
    assert len(story.reads(*items[:4], later=2).events) == 6
    story.reads(*items[:4], later=2)
    assert (story.memory.accepted, story.memory.alert) == ("", None)


def test_a_window_withdraws_nothing_by_itself_however_old_items_drop_out() -> None:
    story = Story(asks=True)
    for first in range(30):
        items = [story.item(str(number)) for number in range(first, first + 10)]
        outcome = story.reads(*items, listing=Listing.WINDOW, later=24)
        assert all(decided.what is What.PUBLICATION for decided in outcome.events)
    assert story.memory.alert is None
    assert len(story.memory.items) == 39


def test_an_item_of_a_window_is_withdrawn_when_its_page_is_gone_twice() -> None:
    story = Story(asks=True)
    items = [story.item(str(number)) for number in range(6)]
    story.reads(*items, listing=Listing.WINDOW)
    left, gone = items[1:], {"0": Presence.GONE}
    assert story.reads(*left, listing=Listing.WINDOW, presence=gone).events == []
    assert story.reads(*left, listing=Listing.WINDOW, presence={"0": Presence.UNKNOWN}, later=9).events == []
    assert said(story.reads(listing=Listing.UNCHANGED, presence=gone, later=9)) == [("withdrawal", "0")]


def test_many_pages_gone_at_once_are_an_alert() -> None:
    story = Story(asks=True)
    items = [story.item(str(number)) for number in range(20)]
    story.reads(*items, listing=Listing.WINDOW)
    gone = {str(number): Presence.GONE for number in range(9)}
    for _ in range(3):
        outcome = story.reads(*items[9:], listing=Listing.WINDOW, presence=gone, later=30)
        assert outcome.events == []
    assert story.memory.alert is not None


def test_those_that_once_were_gone_are_asked_first_and_nobody_too_often() -> None:
    story = Story(asks=True)
    items = [story.item(str(number)) for number in range(12)]
    story.reads(*items[:8], listing=Listing.WINDOW)
    left = Reading(tuple(items[4:]), Listing.WINDOW)
    story.reads(*items[4:], listing=Listing.WINDOW, presence={"2": Presence.GONE, "0": Presence.THERE})

    def ask(hours: float = 0) -> list[str]:
        moment = story.clock() + timedelta(hours=hours)
        return [item.id for item in to_ask(story.memory, left, story.config.withdrawing, moment, 9)]

    assert ask() == ["1", "3"]
    assert ask(hours=2) == ["2", "1", "3"]
    assert ask(hours=7) == ["2", "1", "3", "0"]


def test_a_refused_item_is_said_once_and_published_when_it_is_mended() -> None:
    story = Story()
    bad = story.item(body="")
    (refused,) = story.reads(bad).refused
    assert (refused.findings[0].rule, refused.new) == ("directive.body-empty", True)
    assert not story.reads(bad).refused[0].new
    (decided,) = story.reads(story.item()).events
    assert decided.payload.version == 1  # type: ignore[union-attr]


def test_a_revision_that_is_refused_leaves_the_last_version_standing() -> None:
    story = Story()
    story.reads(story.item())
    assert story.reads(story.item(body="")).events == []
    assert story.memory.items["1"].state is State.STANDING
    outcome = story.reads(story.item())
    assert (outcome.events, outcome.refused) == ([], [])


def test_documents_older_than_wanted_are_passed_over() -> None:
    story = Story(since=date(2026, 11, 1))
    old, new = story.item("old", issued_on="2026-10-31"), story.item("new")
    assert said(story.reads(old, new)) == [("publication", "new")]
    assert story.reads(old, new).events == []


def test_an_item_without_a_day_is_issued_on_the_day_it_was_first_seen() -> None:
    story = Story()
    item = story.item()
    undated = replace(item, data={name: value for name, value in item.data.items() if name != "issued_on"})
    (decided,) = story.reads(undated).events
    assert decided.payload.issued_on == START.date()  # type: ignore[union-attr]
    assert story.reads(undated, later=48).events == []


def test_a_feedback_is_published_once_and_never_revised_or_withdrawn() -> None:
    story = Story()
    found = FoundItem("17", FEEDBACK, "FeedbackReceived")
    others = [story.item(str(number)) for number in range(9)]
    events = story.reads(found, *others).events
    (feedback,) = [decided for decided in events if decided.what is What.FEEDBACK]
    assert feedback.payload.public_code == "7GQ2M0Z4KX9A"  # type: ignore[union-attr]
    assert story.reads(found, *others).events == []
    changed = replace(found, data={**FEEDBACK, "subject": "Đèn đường đã sửa"})
    outcome = story.reads(changed, *others)
    assert (outcome.events, len(outcome.remarks)) == ([], 1)
    assert story.reads(changed, *others).remarks == []
    assert story.reads(*others, later=99).events == []
    assert story.memory.alert is None


def test_the_same_reading_gives_the_same_event_ids_wherever_it_is_compared() -> None:
    one, two = Story(), Story()
    two.clock.forward(hours=1)
    ids = [[decided.event_id for decided in story.reads(story.item()).events] for story in (one, two)]
    assert ids[0] == ids[1]
