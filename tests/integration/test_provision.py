"""Topics in a real Kafka: made once, held to their contracts, never made smaller."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from portalbus.infra.bus.provision import (
    WantedTopic,
    admin_client,
    find_problems,
    present_partitions,
    provision,
    wanted_topics,
)
from portalbus.infra.stack import Endpoints, StackError

CONFIG = {"retention.ms": "-1", "cleanup.policy": "delete"}


def wanted(name: str, partitions: int = 1) -> dict[str, WantedTopic]:
    return {name: WantedTopic(name, partitions, CONFIG)}


def test_topics_are_made_once_and_a_changed_setting_is_mended(
    endpoints: Endpoints, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    admin, name = admin_client(endpoints.bootstrap), f"provision.{uuid.uuid4().hex}"

    def problems() -> list[str]:
        return [problem.what for problem in find_problems(admin, wanted(name))]

    assert problems() == ["does not exist"]
    assert provision(admin, wanted(name)) == (1, ())
    # What its controller has done, a broker tells a moment later.
    assert eventually(lambda: problems() == [])
    assert provision(admin, wanted(name)) == (0, ())
    changed = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[changed])
    next(iter(admin.incremental_alter_configs([resource]).values())).result(10)
    assert eventually(lambda: problems() == ["retention.ms is 1000, not -1"])
    _, mended = provision(admin, wanted(name))
    assert [str(problem) for problem in mended] == [f"{name}: retention.ms is 1000, not -1"]
    assert eventually(lambda: problems() == [])


def test_a_topic_with_other_partitions_is_refused_not_changed(
    endpoints: Endpoints, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    admin, name = admin_client(endpoints.bootstrap), f"provision.{uuid.uuid4().hex}"
    provision(admin, wanted(name, 2))
    assert eventually(lambda: name in present_partitions(admin))
    with pytest.raises(StackError, match="has 2 partitions, not 3"):
        provision(admin, wanted(name, 3))


def test_every_agency_gets_a_lane_and_a_verdict_topic_and_the_centre_its_own() -> None:
    names = set(wanted_topics(["H26", "G22"]))
    assert {"lane.H26", "lane.G22", "verdict.H26", "verdict.G22", "central.directive-published"} <= names
    assert not any("<agency>" in name for name in names)
