"""`portalbus topics`: says what it would change, changes it, and then has nothing to say."""

from __future__ import annotations

import json
import uuid

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from portalbus.infra.bus.provision import admin_client
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints


def test_plan_tells_apply_does_and_plan_is_content(endpoints: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--agency", "H17", "--bootstrap", endpoints.bootstrap, "--json"]
    assert run(["topics", "apply", *where]) == 0
    capsys.readouterr()
    assert run(["topics", "plan", *where]) == 0
    assert json.loads(capsys.readouterr().out) == []
    changed = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "lane.H17", incremental_configs=[changed])
    admin = admin_client(endpoints.bootstrap)
    next(iter(admin.incremental_alter_configs([resource]).values())).result(10)
    assert run(["topics", "plan", *where]) == 1
    problem = {"topic": "lane.H17", "what": "retention.ms is 3600000, not -1", "mendable": True}
    assert json.loads(capsys.readouterr().out) == [problem]
    assert run(["topics", "apply", *where]) == 0
    assert json.loads(capsys.readouterr().out) == {"made": 0, "mended": [problem]}
    assert run(["topics", "plan", *where[:-1]]) == 0
    assert "every topic is as its contract says" in capsys.readouterr().out


def test_prepare_makes_all_that_a_bus_needs_and_then_nothing_more(
    endpoints: Endpoints, ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute("drop schema ledger cascade")
        connection.execute("drop table public.portalbus_migration")
    where = ["--bootstrap", endpoints.bootstrap, "--registry-url", endpoints.registry_url, "--agency", "H19", "--json"]
    assert run(["prepare", *where, "--database-url", ledger_url]) == 0
    first = json.loads(capsys.readouterr().out)
    assert "0001_ledger" in first["migrations"] and "DirectivePublished" in first["contracts"]
    assert first["topics_made"] >= 2
    assert run(["prepare", *where, "--database-url", ledger_url]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["topics_made"], again["migrations"]) == (0, [])
    assert again["contracts"] == first["contracts"]


def test_an_agency_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "plan", "--agency", uuid.uuid4().hex, "--bootstrap", "127.0.0.1:1"]) == 2
    assert "is no agency code" in capsys.readouterr().err
