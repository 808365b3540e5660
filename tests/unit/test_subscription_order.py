"""The merge of partitions into ledger order, and the file that keeps a place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalbus.producers.subscription import Place, PlaceFile, Subscription, SubscriptionInUse
from portalbus.producers.subscription.ledger_order import LedgerOrder
from portalbus.schemas.models import Canary


@dataclass(frozen=True)
class At:
    position: int


@given(st.lists(st.integers(0, 2), max_size=60), st.data())
def test_whenever_partitions_are_read_and_asked_the_ledgers_order_comes_out(
    owners: list[int], data: st.DataObject
) -> None:
    """The log grows, position by position; readers lag behind it as they like."""
    logs: dict[int, list[At]] = {0: [], 1: [], 2: []}
    read = dict.fromkeys(logs, 0)
    order: LedgerOrder[int, At] = LedgerOrder(read)
    out: list[int] = []
    waiting = list(enumerate(owners, 1))
    while waiting or sum(read.values()) < len(owners) or order.held:
        deed = data.draw(st.sampled_from(["write", "read", "ask", "give"])) if waiting else "finish"
        if deed == "write":
            position, owner = waiting.pop(0)
            logs[owner].append(At(position))
        for part in logs if deed == "finish" else [data.draw(st.integers(0, 2))] if deed == "read" else []:
            for item in logs[part][read[part] :]:
                read[part] += 1
                order.read(part, item, read[part])
        if deed in ("ask", "finish") and order.asks_for_ends:
            order.ends_are({part: len(log) for part, log in logs.items()})
        if deed in ("give", "finish"):
            out += [item.position for _, item in order.give_out(7)]
    assert out == list(range(1, len(owners) + 1))


def test_nothing_is_given_out_while_something_earlier_may_be_unread() -> None:
    order: LedgerOrder[str, At] = LedgerOrder({"a": 0, "b": 0})
    order.read("a", At(5), 1)
    assert order.asks_for_ends
    order.ends_are({"a": 1, "b": 1})
    assert list(order.give_out(10)) == []
    order.read("b", At(4), 1)
    assert [item.position for _, item in order.give_out(10)] == [4, 5]
    order.read("a", At(9), 2)
    assert list(order.give_out(10)) == [], "the ends were asked for before it was read"


def test_a_partition_read_past_a_commit_marker_holds_nothing_up() -> None:
    order: LedgerOrder[str, At] = LedgerOrder({"a": 0, "b": 0})
    order.read("a", At(1), 1)
    order.ends_are({"a": 2, "b": 3})
    assert list(order.give_out(10)) == []
    order.read_to("b", 3)
    assert [item.position for _, item in order.give_out(10)] == [1]
    assert list(order.give_out(10)) == []


def test_a_place_is_kept_in_one_step_and_by_one_reader(tmp_path: Path) -> None:
    first, second = PlaceFile(tmp_path / "deep" / "place"), PlaceFile(tmp_path / "deep" / "place")
    first.open()
    assert first.read() == {}
    first.write({"central.feedback-received/0": Place(12, 40)})
    assert first.read() == {"central.feedback-received/0": Place(12, 40)}
    with pytest.raises(SubscriptionInUse, match="another process reads"):
        second.open()
    first.close()
    second.open()
    assert second.read()["central.feedback-received/0"].position == 40
    second.close()
    (tmp_path / "deep" / "place").write_text("{")
    with pytest.raises(ValueError, match="delete it to read from the start"):
        first.read()


def test_what_nobody_can_subscribe_to_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Canary is nothing to subscribe to; there are DirectivePublished, .*"):
        Subscription(tmp_path / "place", bootstrap="b", registry_url="http://r", types=[Canary])
