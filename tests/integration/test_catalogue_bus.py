"""The catalogue's code to copy, run as it stands, and the catalogue of a bus on which that happened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_process import GatewayProcess
from ledger_facts import rows
from portalbus.connectors.push.signing import new_secret
from portalbus.connectors.push.subscriptions import add_subscription, open_desk
from portalbus.connectors.push.wanted import Wanted
from portalbus.infra.cli.app import run
from portalbus.infra.docs.catalogue import FROM_PORTALS, SNIPPETS, entries, snippet
from portalbus.infra.stack import Endpoints
from portalbus.producers import new_event_id
from whole_bus import Bus

AGENCY = "G11"
PROGRAMS = {"publish.py": (sys.executable,), "publish.sh": ("sh",), "Publish.java": ("java",)}
NEEDS = {"publish.sh": "curl", "Publish.java": "javac"}


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("catalogue-bus"), (AGENCY,)).open()
    bus.start_worker()
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def gateway(bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(bus.endpoints, tmp_path_factory.mktemp("gateway"), "--canary-s", "0").start()
    yield process
    assert process.stop() == 0, process.log.read_text()[-3_000:]


def published(bus: Bus, gateway: GatewayProcess, file: str, record: str, folder: Path) -> str:
    """Runs a snippet on the record's `event.json`, with this bus's agency in it; returns the event's id."""
    if (program := NEEDS.get(file)) and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (text,) = [entry.cloud_event for entry in entries() if entry.name == record]
    speaker = json.loads(text)["source"].split("/")[1]
    event = json.loads(text.replace(speaker, AGENCY))
    event |= {"id": new_event_id(), "source": f"/{AGENCY}/http"}
    (folder / "event.json").write_text(json.dumps(event, ensure_ascii=False), "utf-8")
    (folder / file).write_text(snippet(file, record), "utf-8")
    environment = {
        **os.environ,
        "PORTALBUS_AGENCY": AGENCY,
        "PORTALBUS_PORTAL": "sdk",
        "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
        "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
        "PORTALBUS_OUTBOX": str(bus.folder / "outbox"),
        "GATEWAY_URL": gateway.address,
        "GATEWAY_KEY": gateway.key(AGENCY, "http"),
    }
    command = [*PROGRAMS[file], file]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(event["id"])


@pytest.mark.parametrize("file", SNIPPETS.values())
def test_the_code_to_copy_publishes_and_the_centre_hears_it(
    file: str, bus: Bus, gateway: GatewayProcess, tmp_path: Path
) -> None:
    records = FROM_PORTALS if file != "Publish.java" else FROM_PORTALS[:1]  # the same code for each
    wanted = {published(bus, gateway, file, record, tmp_path) for record in records}
    query = "select event_id::text from ledger.event where event_id = any(%s::uuid[])"
    bus.wait_until(lambda: {found for (found,) in rows(bus.look, query, list(wanted))} == wanted, "all events")


def test_the_catalogue_of_a_bus_names_who_sent_and_who_receives(
    bus: Bus, gateway: GatewayProcess, tmp_path: Path
) -> None:
    published(bus, gateway, "publish.sh", "FeedbackReceived", tmp_path)
    bus.wait_until(lambda: rows(bus.look, "select 1 from ledger.source where portal = 'http'"), "the source")
    with open_desk(bus.database_url) as desk:
        url = "https://receiver.example.gov.vn/hook?token=for-us-alone"
        add_subscription(desk, url, Wanted.of(types=["DirectivePublished"]), secret=new_secret(), created_by="test")
    out, source = tmp_path / "site", tmp_path / "docs"
    source.mkdir()
    assert run(["docs", "build", "--out", str(out), "--source", str(source), "--database", bus.database_url]) == 0
    page = (out / "events.html").read_text("utf-8")
    assert "were not measured" not in page
    assert f"<td><code>{AGENCY}/http</code></td>" in page
    assert "receiver.example.gov.vn (webhook)" in page
    assert "for-us-alone" not in page
