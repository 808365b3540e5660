"""`portalbus schemas usage`: what a source sends, read from its lane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from lanes import make_topics
from ledger_rows import directive
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.schemas.avro_files import current
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry


def test_it_says_which_version_a_source_sends_and_passes_over_what_cannot_be_read(
    endpoints: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, "H18")
    outbox, registry_url = tmp_path / "outbox.db", endpoints.registry_url
    with Portal("H18", "usage", bootstrap=endpoints.bootstrap, registry_url=registry_url, outbox=outbox) as portal:
        portal.publish(directive("01-CT-UBND-2026"))
        assert portal.flush(30.0)
    producer = Producer({"bootstrap.servers": endpoints.bootstrap})
    producer.produce("lane.H18", b"no event", b"key")
    assert producer.flush(10) == 0
    capsys.readouterr()  # what the SDK logged
    command = ["schemas", "usage", "--agency", "H18", "--json", "--bootstrap", endpoints.bootstrap]
    assert run([*command, "--registry-url", endpoints.registry_url]) == 0
    found = {(one["portal"], one["record"]): one for one in json.loads(capsys.readouterr().out)}
    sent = found["usage", "DirectivePublished"]
    assert (sent["agency"], sent["records"]) == ("H18", 1)
    assert sent["version"] == sent["newest"] == current("DirectivePublished").version
