"""What may be sent to a receiver, and when: each key in its order, no other held up, a silent receiver left alone."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalbus.connectors.push.receiver_queue import Failure, ReceiverQueue, Waiting
from portalbus.connectors.push.retrying import Retrying

REFUSED = Failure("answered 500")
SILENT = Failure("no connection", silent=True)


def queue(*deliveries: tuple[int, str], room: int = 4, retrying: Retrying | None = None) -> ReceiverQueue:
    made = ReceiverQueue(retrying or Retrying(), room)
    for number, key in deliveries:
        made.add(Waiting(number, key))
    return made


def taken(waiting: ReceiverQueue, now: float) -> list[int]:
    """Everything that may be sent now."""
    found = []
    while (one := waiting.next(now)) is not None:
        found.append(one.number)
    return found


def test_one_of_a_key_at_a_time_and_no_more_than_there_is_room_for() -> None:
    waiting = queue((1, "a"), (2, "a"), (3, "b"), (4, "c"), room=2)
    assert taken(waiting, 0) == [1, 3]
    waiting.delivered(1, 0)
    assert taken(waiting, 0) == [2]
    waiting.delivered(3, 0)
    waiting.delivered(2, 0)
    assert taken(waiting, 0) == [4]
    waiting.delivered(4, 0)
    assert len(waiting) == 0 and waiting.wake_at() is None


def test_a_failed_one_waits_and_holds_up_its_own_key_alone() -> None:
    waiting = queue((1, "a"), (2, "a"), (3, "b"))
    assert taken(waiting, 0) == [1, 3]
    stands = waiting.failed(1, REFUSED, 0, 1.0)
    assert stands is not None and (stands.failures, stands.due_at) == (1, 5.0)
    waiting.delivered(3, 1)
    waiting.add(Waiting(4, "c"))
    assert taken(waiting, 1) == [4]
    waiting.delivered(4, 1)
    assert (taken(waiting, 4.9), waiting.wake_at()) == ([], 5.0)
    assert taken(waiting, 5.0) == [1]


def test_pauses_grow_to_their_longest_and_chance_takes_up_to_half() -> None:
    retrying = Retrying()
    assert [retrying.pause(n, 1.0) for n in range(1, 9)] == [5, 15, 45, 135, 405, 1_215, 3_600, 3_600]
    assert retrying.pause(3, 0.0) == 22.5
    assert retrying.pause(10_000, 1.0) == 3_600


def test_a_day_of_failures_is_enough_and_what_comes_after_waits_for_a_decision() -> None:
    waiting = queue((1, "a"), (2, "a"))
    now = 0.0
    random = Random(1)
    tries = 0
    while (one := waiting.next(now)) is not None:
        tries += 1
        stands = waiting.failed(one.number, REFUSED, now, random.random())
        assert stands is not None
        if stands.given_up:
            break
        now = stands.due_at
    assert 24 * 3_600 <= now < 25 * 3_600
    assert 25 < tries < 60
    assert (taken(waiting, now + 1e6), waiting.wake_at(), len(waiting)) == ([], None, 2)
    waiting.replace([Waiting(1, "a"), Waiting(2, "a")])
    assert taken(waiting, now) == [1]


def test_gone_is_given_up_at_once() -> None:
    waiting = queue((1, "a"))
    taken(waiting, 0)
    stands = waiting.failed(1, Failure("answered 410", final=True), 0, 0.5)
    assert stands is not None and stands.given_up


def test_a_receiver_asks_for_a_pause_and_gets_it() -> None:
    waiting = queue((1, "a"), (2, "b"), room=1)
    taken(waiting, 0)
    waiting.failed(1, Failure("answered 429", silent=True, pause=120), 0, 0.5)
    assert (taken(waiting, 119), waiting.wake_at()) == ([], 120)
    assert taken(waiting, 120) == [2]


def test_a_silent_receiver_is_probed_with_one_and_has_all_when_it_is_back() -> None:
    waiting = queue(*((n, f"k{n}") for n in range(20)))
    for number in taken(waiting, 0):
        waiting.failed(number, SILENT, 0, 1.0)
    assert taken(waiting, 1) == []
    probes = []
    now = 0.0
    for _ in range(12):
        now = waiting.wake_at() or 0
        (probe,) = taken(waiting, now)
        waiting.failed(probe, SILENT, now, 1.0)
        probes.append(now)
    assert max(b - a for a, b in pairwise(probes)) <= 60
    now = waiting.wake_at() or 0
    (probe,) = taken(waiting, now)
    waiting.delivered(probe, now)
    back = set()
    while found := taken(waiting, now):
        assert len(found) <= 4
        for number in found:
            waiting.delivered(number, now)
        back.update(found)
    assert len(back) == 19, "nothing waits for a pause that was the receiver's"


def test_an_answer_even_a_refusal_ends_the_silence() -> None:
    waiting = queue(*((n, f"k{n}") for n in range(5)))
    for number in taken(waiting, 0):
        waiting.failed(number, SILENT, 0, 0.0)
    now = waiting.wake_at() or 0
    (probe,) = taken(waiting, now)
    waiting.failed(probe, REFUSED, now, 0.0)
    assert len(taken(waiting, now)) == 4


def test_the_same_delivery_twice_is_one_and_one_out_of_order_is_a_fault() -> None:
    waiting = queue((5, "a"), (5, "a"))
    assert len(waiting) == 1
    with pytest.raises(ValueError, match="delivery 4 comes after 5"):
        waiting.add(Waiting(4, "a"))


@settings(max_examples=300, deadline=None)
@given(
    keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=25),
    room=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_whatever_fails_and_whenever_it_is_asked_everything_arrives_in_the_order_of_its_key(
    keys: list[str], room: int, seed: int
) -> None:
    random = Random(seed)
    waiting = ReceiverQueue(Retrying(over=1e12), room)
    unsent = [Waiting(number, key) for number, key in enumerate(keys)]
    kept: dict[int, Waiting] = {}
    under_way: list[int] = []
    arrived: dict[str, list[int]] = defaultdict(list)
    now = 0.0
    for _ in range(5_000):
        if unsent and random.random() < 0.3:
            one = unsent.pop(0)
            kept[one.number] = one
            waiting.add(one)
        while (found := waiting.next(now)) is not None:
            assert found.key not in {keys[number] for number in under_way}, "one of a key at a time"
            under_way.append(found.number)
        assert len(under_way) <= room
        if under_way:
            number = under_way.pop(random.randrange(len(under_way)))
            if random.random() < 0.4:
                waiting.failed(number, random.choice([REFUSED, SILENT]), now, random.random())
            else:
                waiting.delivered(number, now)
                del kept[number]
                arrived[keys[number]].append(number)
        if not under_way and random.random() < 0.05:  # the process dies, and another one reads what is kept
            waiting = ReceiverQueue(Retrying(over=1e12), room)
            kept = {n: Waiting(n, one.key, one.due_at, one.failures) for n, one in kept.items()}
            waiting.replace(kept.values())
        now = max(now, waiting.wake_at() or now) if not under_way else now
        if not (unsent or kept):
            break
    assert not unsent and not kept
    for key, numbers in arrived.items():
        assert numbers == [number for number, other in enumerate(keys) if other == key]
