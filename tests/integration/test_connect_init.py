"""`portalbus connect init` on a running bus: five questions, a file, and a marked event that is shown to nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_process import GatewayProcess
from ledger_facts import rows
from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.config_file import read_config
from portalbus.infra.stack import Endpoints
from whole_bus import Bus

AGENCY = "H60"
COMMAND = [sys.executable, "-m", "portalbus.infra.cli", "connect", "init"]


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("init-bus"), (AGENCY,)).open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    bus.close()


def init(
    bus: Bus, folder: Path, *flags: str, answers: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder; what it asks is answered with these lines."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PORTALBUS_")}
    where = {"PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap, "PORTALBUS_REGISTRY": bus.endpoints.registry_url}
    return subprocess.run(
        [*COMMAND, "--lang", "en", *flags],
        cwd=folder,
        env={**known, **where, "PORTALBUS_HOME": str(folder / "home"), **environment},
        input=answers,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def ledger(bus: Bus, portal: str) -> list[tuple[Any, ...]]:
    query = "select event_type, status, rule from ledger.event where agency = %s and portal = %s"
    return rows(bus.look, query, AGENCY, portal)


def test_five_answers_write_a_configuration_try_it_and_send_a_marked_event(bus: Bus, tmp_path: Path) -> None:
    with LocalSite() as site:
        site.put("/rss", rss([notice(site, 1)]), "application/rss+xml; charset=utf-8")
        done = init(bus, tmp_path, answers=f"{AGENCY}\nrss\nfeed\n{site.url}/rss\npull.yaml\n")
    # A private address is read only when the file says so; the marked event does not care.
    assert done.returncode == 1, done.stdout + done.stderr
    assert "is an address inside a network" in done.stdout
    assert "ACCEPTED" in done.stdout
    assert "[event.canary]" in done.stdout
    (portal,) = read_config(tmp_path / "pull.yaml").portals
    assert portal.source == f"{AGENCY}/rss"
    assert ledger(bus, "rss") == [("Canary", "ACCEPTED", "event.canary")]
    assert rows(bus.look, "select count(*) from ledger.directive") == [(0,)]
    assert (tmp_path / "outbox").is_dir(), "the numbers of the source begin where the connector goes on"


def test_a_folder_is_looked_at_and_nothing_of_it_is_sent(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    columns = "Mã,Số ký hiệu,Loại văn bản,Tiêu đề,Nội dung,Ngày ban hành,Đường dẫn"
    row = "1,1/CT-UBND,Chỉ thị,Về chiếu sáng,Kiểm tra đèn.,20/11/2026,https://hanoi.gov.vn/1"
    (tmp_path / "in" / "a.csv").write_text(f"{columns}\n{row}\n", encoding="utf-8")
    flags = ("--agency", AGENCY, "--portal", "files", "--kind", "files", "--address", str(tmp_path / "in"))
    done = init(bus, tmp_path, *flags, "--file", "pull.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{AGENCY}/files (files)" in done.stdout
    assert (tmp_path / "in" / "a.csv").exists(), "a look files nothing"
    assert [event_type for event_type, *_ in ledger(bus, "files")] == ["Canary"]


def test_a_portal_with_the_sdk_gets_code_that_runs(bus: Bus, tmp_path: Path) -> None:
    flags = ("--agency", AGENCY, "--portal", "sdk", "--kind", "sdk", "--address", "outbox", "--file", "publishing.py")
    done = init(bus, tmp_path, *flags, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["verdict"]["status"], said["verdict"]["rule"]) == ("ACCEPTED", "event.canary")
    ran = subprocess.run(
        [sys.executable, "publishing.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
            "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
            "PORTALBUS_AGENCY": AGENCY,
            "PORTALBUS_PORTAL": "sdk",
            "PORTALBUS_OUTBOX": "outbox",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [event_type for event_type, *_ in ledger(bus, "sdk")] == ["Canary", "DirectivePublished"]


def test_a_portal_at_the_gateway_sends_its_marked_event_over_http(bus: Bus, tmp_path: Path) -> None:
    gateway = GatewayProcess(bus.endpoints, tmp_path, "--canary-s", "0").start()
    try:
        flags = (
            "--agency",
            AGENCY,
            "--portal",
            "php",
            "--kind",
            "gateway",
            "--address",
            "php",
            "--file",
            "publish.php",
        )
        where = {"PORTALBUS_GATEWAY": gateway.address}
        done = init(bus, tmp_path, *flags, GATEWAY_KEY=gateway.key(AGENCY, "php"), **where)
        wrong = init(bus, tmp_path, *flags, "--force", GATEWAY_KEY=gateway.key(AGENCY, "other"), **where)
    finally:
        assert gateway.stop() == 0
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ACCEPTED" in done.stdout
    assert ledger(bus, "php") == [("Canary", "ACCEPTED", "event.canary")]
    assert wrong.returncode == 3
    assert "gateway.portal-not-yours" in wrong.stdout


def test_a_bus_that_is_not_there_is_said_and_the_file_stays(bus: Bus, tmp_path: Path) -> None:
    flags = ("--agency", AGENCY, "--portal", "late", "--kind", "sdk", "--address", "outbox", "--file", "late.py")
    done = init(bus, tmp_path, *flags, "--timeout", "1", "--bootstrap", "127.0.0.1:9")
    assert done.returncode == 3
    assert (tmp_path / "late.py").exists()
    assert "marked event" in done.stdout
