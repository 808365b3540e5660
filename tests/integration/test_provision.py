"""Topics in a real Kafka: made once, held to their contracts, never made smaller."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from portalbus.infra.bus.provision import WantedTopic, admin_client, find_problems, provision, wanted_topics
from portalbus.infra.cli import main
from portalbus.infra.stack import Endpoints, StackError

CONFIG = {"retention.ms": "-1", "cleanup.policy": "delete"}


def wanted(name: str, partitions: int = 1) -> dict[str, WantedTopic]:
    return {name: WantedTopic(name, partitions, CONFIG)}


def test_topics_are_made_once_and_a_changed_setting_is_mended(endpoints: Endpoints) -> None:
    admin, name = admin_client(endpoints.bootstrap), f"provision.{uuid.uuid4().hex}"
    assert [problem.what for problem in find_problems(admin, wanted(name))] == ["does not exist"]
    assert provision(admin, wanted(name)) == (1, ())
    assert provision(admin, wanted(name)) == (0, ())
    changed = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[changed])
    next(iter(admin.incremental_alter_configs([resource]).values())).result(10)
    _, mended = provision(admin, wanted(name))
    assert [str(problem) for problem in mended] == [f"{name}: retention.ms is 1000, not -1"]
    assert list(find_problems(admin, wanted(name))) == []


def test_a_topic_with_other_partitions_is_refused_not_changed(endpoints: Endpoints) -> None:
    admin, name = admin_client(endpoints.bootstrap), f"provision.{uuid.uuid4().hex}"
    provision(admin, wanted(name, 2))
    with pytest.raises(StackError, match="has 2 partitions, not 3"):
        provision(admin, wanted(name, 3))


def test_every_agency_gets_a_lane_and_a_verdict_topic_and_the_centre_its_own() -> None:
    names = set(wanted_topics(["H26", "G22"]))
    assert {"lane.H26", "lane.G22", "verdict.H26", "verdict.G22", "central.directive-published"} <= names
    assert not any("<agency>" in name for name in names)


def test_the_commands_say_what_they_would_change_and_change_it(
    endpoints: Endpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    agency = f"H17.T{uuid.uuid4().hex[:6].upper()}"
    options = ["--agency", agency, "--bootstrap", endpoints.bootstrap, "--json"]
    lanes = {f"lane.{agency}", f"verdict.{agency}"}

    def said(command: str, status: int) -> dict[str, list[dict[str, Any]]]:
        assert main(["topics", command, *options]) == status
        return dict(json.loads(capsys.readouterr().out))

    assert lanes <= {one["topic"] for one in said("plan", 1)["planned"]}
    assert lanes <= {one["topic"] for one in said("plan", 1)["planned"]}, "a plan changes nothing"
    assert lanes <= {one["topic"] for one in said("apply", 0)["changed"]}
    assert said("plan", 0) == {"planned": [], "by_hand": []}
    admin = admin_client(endpoints.bootstrap)
    changed = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, f"lane.{agency}", incremental_configs=[changed])
    next(iter(admin.incremental_alter_configs([resource]).values())).result(10)
    assert [one["what"] for one in said("plan", 1)["planned"]] == ["retention.ms is 1000, not -1"]
    assert said("apply", 0)["by_hand"] == []
    assert main(["topics", "plan", *options[:-1]]) == 0
    assert "as their contracts want them" in capsys.readouterr().out
