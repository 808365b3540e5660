"""The lane assignor: even, sticky, complete, whatever joins and leaves."""

from __future__ import annotations

from types import SimpleNamespace

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from portalbus.streams.edge.assignor import LaneAssignor, balance

WORKERS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)
LANES = st.integers(0, 120).map(lambda count: {f"lane.H{number:03}" for number in range(count)})
CLUSTER = SimpleNamespace(partitions_for_topic=lambda lane: None if lane.endswith("missing") else {0})


def owners(given: dict[str, list[str]]) -> dict[str, str]:
    return {lane: worker for worker, lanes in given.items() for lane in lanes}


def assert_even_and_complete(given: dict[str, list[str]], workers: list[str], lanes: set[str]) -> None:
    assert set(given) == set(workers)
    assert sorted(lane for had in given.values() for lane in had) == sorted(lanes)
    counts = [len(had) for had in given.values()]
    assert max(counts) - min(counts) <= 1


@given(lanes=LANES, changes=st.lists(WORKERS, min_size=1, max_size=6))
def test_lanes_stay_even_and_move_no_more_than_they_must(lanes: set[str], changes: list[list[str]]) -> None:
    before: dict[str, str] = {}
    for workers in changes:
        given = balance(dict.fromkeys(workers, lanes), before)
        assert_even_and_complete(given, workers, lanes)
        after = owners(given)
        share, larger = divmod(len(lanes), len(workers))
        had = sorted((sum(worker == owner for owner in before.values()) for worker in workers), reverse=True)
        may_stay = sum(min(count, share + (index < larger)) for index, count in enumerate(had))
        assert sum(before.get(lane) == worker for lane, worker in after.items()) == may_stay
        before = after


@given(lanes=LANES, workers=WORKERS)
def test_a_second_rebalance_with_the_same_workers_moves_nothing(lanes: set[str], workers: list[str]) -> None:
    wanted = dict.fromkeys(workers, lanes)
    first = balance(wanted, {})
    assert balance(wanted, owners(first)) == first


@given(wanted=st.dictionaries(st.sampled_from("abcd"), LANES, min_size=1))
def test_a_lane_only_goes_to_a_worker_that_wants_it(wanted: dict[str, set[str]]) -> None:
    given = balance(wanted, {})
    assert all(set(lanes) <= wanted[worker] for worker, lanes in given.items())
    assert set(owners(given)) == set().union(*wanted.values())


class Group:
    """Members that go through rebalances as Kafka would lead them."""

    def __init__(self, *members: str) -> None:
        self.members = {member: LaneAssignor(app=None) for member in members}

    def rebalance(self, members: list[str], lanes: set[str]) -> dict[str, set[str]]:
        joining = {
            member: ConsumerProtocolMemberMetadata.decode(self.members[member].metadata(lanes).encode())
            for member in members
        }
        given = self.members[members[0]].assign(CLUSTER, joining)
        for member, assignment in given.items():
            self.members[member].on_assignment(ConsumerProtocolMemberAssignment.decode(assignment.encode()))
        return {member: {tp.topic for tp in assignment.partitions()} for member, assignment in given.items()}


def test_a_worker_back_from_the_dead_does_not_win_its_old_lanes_from_those_who_took_over() -> None:
    lanes = {f"lane.H{number}" for number in range(8)}
    group = Group("a", "b", "zombie")
    group.rebalance(["a", "b", "zombie"], lanes)
    without = group.rebalance(["a", "b"], lanes)
    again = group.rebalance(["a", "b", "zombie"], lanes)
    moved = sum(len(without[member] - again[member]) for member in without)
    assert moved == len(again["zombie"]) == 2


def test_eight_lanes_and_two_workers_make_four_and_four() -> None:
    given = Group("a", "b").rebalance(["a", "b"], {f"lane.H{number}" for number in range(8)})
    assert [len(lanes) for lanes in given.values()] == [4, 4]


def test_a_lane_whose_topic_does_not_exist_yet_is_left_out() -> None:
    assert Group("a").rebalance(["a"], {"lane.H1", "lane.missing"}) == {"a": {"lane.H1"}}


def test_a_member_with_unreadable_user_data_owns_nothing() -> None:
    members = {"a": ConsumerProtocolMemberMetadata(0, ["lane.H1"], b"\xff not json")}
    assert list(LaneAssignor(app=None).assign(CLUSTER, members)["a"].partitions()) == [("lane.H1", 0)]
