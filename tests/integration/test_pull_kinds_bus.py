"""A portal of each kind that has no website of its own takes part on the real bus, in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drop_files import csv_text, document, drop, workbook
from geo_report import GeoReport
from imap_server import PASSWORD, USER, ImapServer
from ledger_facts import assert_sound, rows
from local_site import LocalSite
from mariadb_server import MariaDbServer
from portal_databases import add_documents, mariadb_portal, postgresql_portal
from portalbus.infra.stack import Endpoints
from pulled_portal import written
from whole_bus import Bus

MAIL = (
    "From: An <an@b.vn>\r\nSubject: Nước yếu\r\nMessage-ID: <{}@x>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}"
)


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield bus
    bus.close()


def counts(bus: Bus) -> dict[tuple[str, str, str], int]:
    """How many events of each portal and type have which verdict; canaries aside."""
    found = rows(
        bus.look,
        "select portal, event_type, status, count(*) from ledger.event where event_type <> 'Canary' group by 1, 2, 3",
    )
    return {(portal, event_type, status): number for portal, event_type, status, number in found}


def test_every_kind_brings_its_portal_into_the_ledger_once(
    bus: Bus, postgres_url: str, mariadb: MariaDbServer, imap: ImapServer, tmp_path: Path
) -> None:
    folder = tmp_path / "tha-vao"
    folder.mkdir()
    with LocalSite() as site, postgresql_portal(postgres_url) as pg, mariadb_portal(mariadb) as maria:
        city = GeoReport(site)
        mailbox = imap.folder("Bus")
        entries: list[dict[str, Any]] = [
            {"portal": "pg", "kind": "sql", **pg.settings},
            {"portal": "maria", "kind": "sql", **maria.settings, "password": "env:MARIA_PASSWORD"},
            {"portal": "files", "kind": "files", "address": str(folder), "settle": 0},
            {"portal": "city", "kind": "open311", "address": city.address, "regime": "R6"},
            {"portal": "mail", "kind": "imap", "address": mailbox, "user": USER, "tls": "off", "regime": "R1"},
        ]
        entries[4]["password"] = "env:MAIL_PASSWORD"
        config = written(tmp_path / "pull", *[{"every": "1s", **entry} for entry in entries])
        now = datetime.now(UTC)
        add_documents(pg, range(1, 4))
        add_documents(maria, range(11, 14))
        drop(folder, "a.csv", csv_text([document(21), document(22)]))
        drop(folder, "b.xlsx", workbook([document(23)]))
        request = city.make(1, now - timedelta(days=2))
        city.make(2, now - timedelta(days=1))
        imap.put("Bus", MAIL.format(1, "Nước sinh hoạt rất yếu vào buổi tối. Gọi 0912345678.").encode())
        bus.start_worker()
        with (tmp_path / "connect.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "portalbus.infra.cli", "connect", "run", str(config)],
                env={
                    **os.environ,
                    "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
                    "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
                    "MARIA_PASSWORD": maria.reader.password,
                    "MAIL_PASSWORD": PASSWORD,
                },
                stdout=log,
                stderr=log,
            )
        try:
            first = {
                ("pg", "DirectivePublished", "ACCEPTED"): 3,
                ("maria", "DirectivePublished", "ACCEPTED"): 3,
                ("files", "DirectivePublished", "ACCEPTED"): 3,
                ("city", "FeedbackReceived", "ACCEPTED"): 2,
                ("mail", "FeedbackReceived", "ACCEPTED"): 1,
            }
            bus.wait_until(lambda: counts(bus) == first, f"one event of each item ({log.name})")
            city.close(request, now)
            maria.run("update van_ban set tieu_de = 'Tiêu đề mới' where id = 12")
            drop(folder, "c.csv", csv_text([document(21), document(22, "Tiêu đề mới")]))
            imap.put("Bus", MAIL.format(2, "Vẫn yếu.").encode())
            then = {
                **first,
                ("maria", "DirectivePublished", "ACCEPTED"): 4,
                ("files", "DirectivePublished", "ACCEPTED"): 4,
                ("city", "FeedbackResolved", "ACCEPTED"): 1,
                ("mail", "FeedbackReceived", "ACCEPTED"): 2,
            }
            bus.wait_until(lambda: counts(bus) == then, f"what changed, and nothing else ({log.name})")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, Path(log.name).read_text()[-3_000:]
    assert_sound(bus.look)
    said = Path(log.name).read_text()
    assert "0912345678" not in said
    assert maria.reader.password not in said
    ((content,),) = rows(bus.look, "select content from ledger.case where content like 'Nước%%'")
    assert content == "Nước sinh hoạt rất yếu vào buổi tối. Gọi [đã lược]."
    assert imap.flags("Bus") == ["\\Seen", "\\Seen"]
    assert len(list((folder / "done").glob("*.report.csv"))) == 3
