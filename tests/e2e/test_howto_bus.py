"""Pages whose commands need a bus do what they say: all of them are run on one, with its addresses for those shown."""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from howto_page import blocks_of, run_blocks
from local_site import LocalSite, notice, rss
from page_runner import PageRunner
from portalbus.connectors.alerting.settings import read_settings
from portalbus.infra.bus.addresses import find_addresses
from portalbus.schemas.law.limits import Limited, Limits
from portalbus.schemas.law.regimes import Regimes
from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts
from portalbus_command import Portalbus, bus_up
from webhook_receiver import Receiver

ROOT = Path(__file__).parents[2]
CASE = {
    "case_id": "H26-2026-000123",
    "public_code": "8HR3N1Z5MY0B",
    "regime": "R6",
    "category": 1,
    "channel": "PHONE",
    "received_at": "2026-11-20T08:55:00+07:00",
    "addressed_to": "H26",
    "field": "Lao động",
    "subject": "Hợp đồng",
    "content": "Hỏi về hợp đồng lao động.",
    "language": "vi",
}
"""The case that the pages speak of."""
STREAM = "curl -N "


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portalbus]:
    """A bus of these pages alone that knows their case, from a portal of H26."""
    event = {
        "specversion": "1.0",
        "id": "0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3e",
        "source": "/H26/www",
        "type": "FeedbackReceived",
        "data": CASE,
    }
    with bus_up(tmp_path_factory.mktemp("bus")) as made:
        done = made("publish", "-", "--agency", "H26", "--wait", stdin=json.dumps(event))
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


@pytest.fixture
def page(bus: Portalbus, tmp_path: Path) -> PageRunner:
    """Runs the commands of a page."""
    return PageRunner(tmp_path, {**bus.environment, "SMTP_PASSWORD": "x", "HOOK_SECRET": "x"})


def where(bus: Portalbus) -> dict[str, str]:
    """The addresses that `status --env` tells."""
    said = bus("status", "--env").stdout
    return dict(re.findall(r"^export (\w+)=(.+)$", said, re.MULTILINE))


def test_office(page: PageRunner) -> None:
    vietnamese, english = (block for block in blocks_of("office.md") if block[0] == "sh")
    page.run([vietnamese])
    page.command("portalbus accounts revoke truc-ban")
    page.run([english])
    assert "lan@hanoi" in page.said


def test_early_warning(page: PageRunner) -> None:
    page.run(blocks_of("early-warning.md"))
    assert json.loads(page.said)["day"] == "2026-11-20"


def test_legal_clock(page: PageRunner) -> None:
    page.replaced["--mapping FILE"] = f"--mapping {ROOT}/connectors/portalbus/connectors/measuring/emc.toml"
    page.run(blocks_of("legal-clock.md"))
    decided = page.command("portalbus cases decisions")
    assert str(CASE["case_id"]) in decided and "G09" in decided


def test_the_settings_of_the_law_are_taken(page: PageRunner) -> None:
    rules, terms, limits = (text for kind, text in blocks_of("legal-clock.md") if kind == "toml")
    (page.work / "rules.toml").write_text(rules, encoding="utf-8")
    (page.work / "regimes.toml").write_text(terms, encoding="utf-8")
    page.environment["PORTALBUS_RULES"] = "rules.toml"
    page.command(f"portalbus docs build --out site --source {ROOT}/docs")
    assert "from 2026-12-01" in (page.work / "site" / "rules.html").read_text(encoding="utf-8")
    (rule,) = (term["rule"] for term in tomllib.loads(terms)["term"])
    assert rule in Regimes.read(page.work / "regimes.toml").text
    (page.work / "limits.toml").write_text(limits, encoding="utf-8")
    assert Limits.read(page.work / "limits.toml").of(Limited.TRANSFERS, date(2027, 1, 1)) == 3


def test_gateway(page: PageRunner, bus: Portalbus) -> None:
    page.replaced["https://gateway.example.gov.vn"] = where(bus)["PORTALBUS_GATEWAY"]
    page.replaced["after=42"] = "after=0"  # there is something to tell at once
    page.skipped = ("portalbus up --detach",)  # the bus of this test was brought up by this command
    page.goes_on = {STREAM: ":"}
    for kind, text in blocks_of("gateway.md"):
        if kind == "sh":
            page.run([(kind, text)])
            if found := re.search(r"pbk_\S+", page.said):
                page.environment["GATEWAY_KEY"] = found[0]


def test_receiving(page: PageRunner, bus: Portalbus) -> None:
    page.replaced["https://bus.example.gov.vn"] = where(bus)["PORTALBUS_CENTRAL"]
    page.goes_on = {STREAM: ":", "portalbus webhooks run": "webhooks.standing-by"}
    with Receiver() as receiver:
        page.replaced["https://hanoi.gov.vn/hooks/central"] = f"{receiver.url} --internal"
        stream, webhooks = (text for kind, text in blocks_of("receiving.md") if kind == "sh")
        page.run([("sh", stream)])
        first, *rest = webhooks.splitlines(keepends=True)
        page.run([("sh", first)])
        ((name, secret),) = re.findall(r"(wh_\w+) .*(whsec_\S+)", page.said, re.DOTALL)
        page.replaced["wh_1f2e3d4c5b6a"], receiver.secret = name, secret
        page.run([("sh", "".join(rest))])
    assert len(receiver.taken()) == 1 and receiver.problems == []


def test_pull_connectors(page: PageRunner) -> None:
    blocks = blocks_of("pull-connectors.md")
    shown = next(text for kind, text in blocks if kind == "yaml" and text.startswith("# pull.yaml"))
    with LocalSite() as site:
        site.put("/rss", rss([notice(site, 1), notice(site, 2)]), "application/rss+xml; charset=utf-8")
        text = shown.replace("https://hanoi.gov.vn/rss", f"{site.url}/rss").replace("www ", "pulled ")
        assert site.url in text and "pulled" in text
        (page.work / "pull.yaml").write_text(text + 'web: {internal: ["127.0.0.0/8"]}\n', encoding="utf-8")
        page.goes_on = {"portalbus connect run": "connect.published"}
        page.run([block for block in blocks if block[0] == "sh"])
    assert "H26/pulled" in page.said


def test_testing_a_portal(tmp_path: Path) -> None:
    blocks = blocks_of("testing-a-portal.md")
    (test,) = (text for kind, text in blocks if kind == "python")
    (tmp_path / "test_my_portal.py").write_text(test, encoding="utf-8")
    run_blocks(blocks, tmp_path, Portalbus(tmp_path / "home").environment, 120)


def test_upgrading(page: PageRunner) -> None:
    """Up to where it leads back: integration/test_backup.py goes there."""
    blocks = [text for kind, text in blocks_of("upgrading.md") if kind == "console"]
    forward = blocks[: next(number for number, text in enumerate(blocks) if "migrations down" in text)]
    assert len(forward) == 4
    page.run([("sh", text) for text in forward])


def test_operations(page: PageRunner, bus: Portalbus) -> None:
    blocks = blocks_of("operations.md")
    ((_, alerting),) = (block for block in blocks if block[0] == "toml")
    (page.work / "alerting.toml").write_text(alerting, encoding="utf-8")
    page.replaced |= {
        "kafka:9092": where(bus)["PORTALBUS_BOOTSTRAP"],
        "0191d2c4-7a51-7c9e-8f1d-5a1b7b7f2f11": an_alert(bus),
        "H26@17": a_parked_record(bus),
        "/var/backups/portalbus/": "./",
        "--out site": f"--out site --source {ROOT}/docs",
    }
    page.goes_on = {"portalbus alerting run": "alerting.started"}
    page.run(blocks)
    assert (page.work / "ledger.dump").stat().st_size > 0
    assert (page.work / "site" / "index.html").exists()


def a_parked_record(bus: Portalbus) -> str:
    """The place of a record that nobody can read."""
    producer = Producer({"bootstrap.servers": where(bus)["PORTALBUS_BOOTSTRAP"], "enable.idempotence": True})
    producer.produce("lane.H26", b"rubbish", b"H26-2026-000999")
    assert producer.flush(30) == 0
    deadline = time.monotonic() + 30
    while not (found := bus.json("parked", "list", "--records", "--agency", "h26")):
        assert time.monotonic() < deadline
    return f"{found[0]['agency']}@{found[0]['lane_offset']}"


def an_alert(bus: Portalbus) -> str:
    """The id of an open alert whose cause will stay."""
    with psycopg.connect(find_addresses(bus.home, ("database_url",)).database_url) as connection:
        concern = Concern("source.silent", "H26", "cu")
        (alert,) = tell_alerts(connection, [Raise(concern, datetime.now(UTC))], [])
    return str(alert.id)


def test_the_settings_of_alerting_on_the_page_can_be_used(tmp_path: Path) -> None:
    text = next(text for kind, text in blocks_of("operations.md") if kind == "toml")
    config = tmp_path / "alerting.toml"
    config.write_text(text, encoding="utf-8")
    found = read_settings(config, {"SMTP_PASSWORD": "x", "HOOK_SECRET": "x"})
    assert [one.agency for one in found.mailbox] == ["H26", "*"]
