"""Spreads the lanes evenly over the workers and moves as few of them as possible."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.types.assignor import PartitionAssignorT
from faust.types.tuples import TP
from yarl import URL

VERSION = 1


def balance(wanted: Mapping[str, Collection[str]], owned: Mapping[str, str]) -> dict[str, list[str]]:
    """Give each lane to one of the workers that want it.

    ``wanted`` maps worker to the lanes it subscribes to, ``owned`` maps lane to the worker that had it. A worker
    keeps its lanes up to an even share; the others go to whoever has fewest. Where all workers want the same
    lanes, their numbers differ by one at most. The result does not depend on the order of the arguments.
    """
    lanes = sorted({lane for lanes in wanted.values() for lane in lanes})
    share, larger_shares = divmod(len(lanes), max(1, len(wanted)))
    given: dict[str, list[str]] = {worker: [] for worker in sorted(wanted)}
    homeless = []
    for lane in lanes:
        worker = owned.get(lane, "")
        room = worker in given and lane in wanted[worker]
        if room and len(given[worker]) < share:
            given[worker].append(lane)
        elif room and larger_shares and len(given[worker]) == share:
            larger_shares -= 1
            given[worker].append(lane)
        else:
            homeless.append(lane)
    for lane in homeless:
        takers = [worker for worker in given if lane in wanted[worker]]
        given[min(takers, key=lambda worker: len(given[worker]))].append(lane)
    return given


class LaneAssignor(AbstractPartitionAssignor, PartitionAssignorT):  # type: ignore[misc]
    """The balance as an assignor of aiokafka, in the shape in which Faust takes one.

    Faust's own assignor keeps partitions with the same number together for its tables, which would put all lanes
    on one worker. Each worker says in its join request which lanes it has, and since which generation, so that
    a worker that comes back from the dead does not win them from the one that took over.
    """

    name = "portalbus-lanes"

    def __init__(self, app: Any, replicas: int = 0) -> None:
        self.app = app
        self.replicas = replicas
        self._lanes: tuple[str, ...] = ()
        self._generation = 0

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this worker tells the group's leader: the lanes it wants and those it has."""
        user_data = json.dumps({"generation": self._generation, "lanes": self._lanes}).encode()
        return ConsumerProtocolMemberMetadata(VERSION, sorted(topics), user_data)

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return each worker's lanes; called on the group's leader only."""
        wanted = {
            member: {lane for lane in metadata.subscription if cluster.partitions_for_topic(lane)}
            for member, metadata in members.items()
        }
        claims = sorted((*_claim(metadata.user_data), member) for member, metadata in members.items())
        owned = {lane: member for _, lanes, member in claims for lane in lanes}  # the latest generation wins
        generation = max((generation for generation, _, _ in claims), default=0) + 1
        user_data = json.dumps({"generation": generation}).encode()
        return {
            member: ConsumerProtocolMemberAssignment(
                VERSION,
                [(lane, sorted(cluster.partitions_for_topic(lane))) for lane in lanes],
                user_data,
            )
            for member, lanes in balance(wanted, owned).items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what this worker was given."""
        self._lanes = tuple(sorted({tp.topic for tp in assignment.partitions()}))
        self._generation = int(json.loads(assignment.user_data or b"{}").get("generation", 0))

    # What Faust asks an assignor about its tables; there are none.

    def group_for_topic(self, topic: str) -> int:
        """Return 0: no lane is partitioned together with another."""
        return 0

    def assigned_standbys(self) -> set[TP]:
        """Return nothing: there are no standby tables."""
        return set()

    def assigned_actives(self) -> set[TP]:
        """Return this worker's lanes."""
        return {TP(lane, 0) for lane in self._lanes}

    def is_active(self, tp: TP) -> bool:
        """Return whether this worker has the lane."""
        return tp.topic in self._lanes

    def is_standby(self, tp: TP) -> bool:
        """Return False: there are no standby tables."""
        return False

    def key_store(self, topic: str, key: bytes) -> URL:
        """Refuse: there are no tables to look a key up in."""
        raise NotImplementedError("the edge has no tables")

    def table_metadata(self, topic: str) -> MutableMapping[str, Any]:
        """Return nothing: there are no tables."""
        return {}

    def tables_metadata(self) -> MutableMapping[str, Any]:
        """Return nothing: there are no tables."""
        return {}


def _claim(user_data: bytes | None) -> tuple[int, tuple[str, ...]]:
    try:
        said = json.loads(user_data or b"{}")
        return int(said.get("generation", 0)), tuple(said.get("lanes", ()))
    except (ValueError, TypeError, AttributeError):
        return 0, ()  # a worker of another version: it simply owns nothing yet
