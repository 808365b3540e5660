"""Tables, folders, service requests and mailboxes read by the engine: second passes, crashes, losses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drop_files import csv_text, document, drop
from geo_report import GeoReport
from imap_server import PASSWORD, USER, ImapServer
from local_site import LocalSite
from portal_databases import add_documents, postgresql_portal
from portalbus.connectors.pull.drop_folder import file_reading
from portalbus.connectors.pull.drop_folder.kind import DropFolder
from portalbus.connectors.pull.passing import PassReport
from portalbus.connectors.pull.trying import try_one
from portalbus.schemas.models import FeedbackReceived, FeedbackResolved
from pulled_portal import START, Pulled, pulled


def alert_of(report: PassReport) -> str:
    """The rule of the alert that stands after a pass; empty for none."""
    assert not report.failed, report.failed
    assert report.outcome is not None
    return report.outcome.memory.alert.rule if report.outcome.memory.alert else ""


def test_a_view_that_is_emptied_or_dropped_withdraws_nothing(tmp_path: Path, postgres_url: str) -> None:
    with postgresql_portal(postgres_url) as database:
        add_documents(database, range(1, 11))
        portal = pulled(tmp_path, {"kind": "sql", **database.settings})
        assert portal.once().published == 10
        assert portal.once(hours=2).published == 0
        database.run("create table giu as select * from van_ban")
        database.run("delete from van_ban")
        for _ in range(3):
            emptied = portal.once(hours=2)
            assert (emptied.published, alert_of(emptied)) == (0, "pull.listing-empty")
        database.run("drop view v_van_ban")
        dropped = portal.once(hours=2)
        assert 'relation "v_van_ban" does not exist' in dropped.failed
        database.run("create view v_van_ban as select * from giu")
        database.run(f"grant select on v_van_ban to {database.reader}")
        back = portal.once(hours=12)
        assert (back.published, alert_of(back)) == (0, "")
        database.run("delete from giu where id = 3")
        assert portal.once(hours=2).published == 0
        assert portal.once(hours=2).published == 1
        (withdrawn,) = [payload for payload in portal.published() if payload.action == "WITHDRAW"]
        assert withdrawn.number == "3/CT-UBND"


def test_a_table_of_feedback_that_is_emptied_is_an_alert_too(tmp_path: Path, postgres_url: str) -> None:
    with postgresql_portal(postgres_url) as database:
        database.run(
            "create table phan_anh as select i as id, 'R6' as che_do, now() as ngay_nhan, 'Đèn hỏng' as tieu_de,"
            " 'Đèn hỏng ' || i as noi_dung from generate_series(1, 10) as i"
        )
        database.run(f"grant select on phan_anh to {database.reader}")
        settings = {**database.settings, "view": "phan_anh", "brings": "feedback"}
        portal = pulled(tmp_path, {"kind": "sql", **settings, "mapping": {"received_at": {"always": "2026-11-19"}}})
        assert portal.once().published == 10
        database.run("delete from phan_anh where id > 4")
        assert alert_of(portal.once(hours=1)) == "pull.listing-shrunk"


def test_a_folder_is_reported_on_with_the_rules_of_the_bus(tmp_path: Path) -> None:
    folder = tmp_path / "tha-vao"
    folder.mkdir()
    wrong = document(2)
    wrong[2] = "Thơ"
    drop(folder, "a.csv", csv_text([document(1), wrong, document(3)]))
    portal = pulled(tmp_path, {"kind": "files", "address": str(folder), "settle": 0})
    portal.clock.now = datetime.now(UTC)
    trial = try_one(portal.entry, portal.surroundings())
    assert (len(trial.events), len(trial.refused)) == (2, 1)
    assert [path.name for path in folder.iterdir()] == ["a.csv"]  # a trial moves nothing
    first = portal.once()
    assert (first.failed, first.published) == ("", 2)
    report = (folder / "done" / "a.csv.report.csv").read_text(encoding="utf-8-sig")
    assert "3,2,refused,directive.type-unknown,/document_type," in report
    assert "done: 2 publication, 1 refused" in report
    drop(folder, "b.csv", csv_text([document(1), document(3, "Tiêu đề mới")]))
    assert portal.once(minutes=1).published == 1
    report = (folder / "done" / "b.csv.report.csv").read_text(encoding="utf-8-sig")
    assert "done: 1 revision, 1 unchanged" in report


def test_several_files_are_read_in_one_pass_the_oldest_first(tmp_path: Path) -> None:
    folder = tmp_path / "tha-vao"
    folder.mkdir()
    for number in range(1, 4):
        drop(folder, f"{number}.csv", csv_text([document(1, f"Lần {number}")]))
    portal = pulled(tmp_path, {"kind": "files", "address": str(folder), "settle": 0})
    portal.clock.now = datetime.now(UTC)
    assert portal.once().published == 3
    assert [(payload.version, payload.title) for payload in portal.published()] == [
        (1, "Lần 1"),
        (2, "Lần 2"),
        (3, "Lần 3"),
    ]
    assert len(list((folder / "done").glob("?.csv"))) == 3


def test_a_file_read_in_batches_is_published_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reading, "BATCH_ITEMS", 100)
    folder = tmp_path / "tha-vao"
    folder.mkdir()
    drop(folder, "a.csv", csv_text(document(number) for number in range(250)))
    portal = pulled(tmp_path, {"kind": "files", "address": str(folder), "settle": 0})
    portal.clock.now = datetime.now(UTC)
    assert portal.once().published == 250
    assert len({payload.directive_id for payload in portal.published()}) == 250
    assert "done: 250 publication" in (folder / "done" / "a.csv.report.csv").read_text(encoding="utf-8-sig")


def test_a_crash_before_filing_publishes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tha-vao"
    folder.mkdir()
    drop(folder, "a.csv", csv_text([document(1)]))
    portal = pulled(tmp_path, {"kind": "files", "address": str(folder), "settle": 0})
    portal.clock.now = datetime.now(UTC)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(DropFolder, "settled", crash)
        portal.once()
    assert (folder / "a.csv").exists()
    assert portal.once().published == 1
    assert portal.once().published == 0
    assert (folder / "done" / "a.csv").exists()


@pytest.fixture
def city(tmp_path: Path) -> Any:
    """A city's service, and the portal that reads it."""
    with LocalSite() as site:
        report = GeoReport(site)
        settings = {"kind": "open311", "address": report.address, "regime": "R6", "look_back": "60d"}
        settings["legal_basis"] = "Quy chế tiếp nhận phản ánh của thành phố"
        yield report, pulled(tmp_path, settings)


def test_service_requests_are_cases_from_their_making_to_their_closing(city: tuple[GeoReport, Pulled]) -> None:
    report, portal = city
    names = [report.make(number, START - timedelta(days=number)) for number in range(1, 40)]
    assert portal.once().published == 39
    assert portal.once(hours=1).published == 0
    report.close(names[0], portal.clock.now)
    report.close(names[1], portal.clock.now, "Từ chối: phản ánh chưa nêu rõ địa điểm cần sửa chữa.")
    report.close(names[2], portal.clock.now, "")
    report.close(names[3], portal.clock.now, "Từ chối: nội dung không thuộc thẩm quyền của thành phố.")
    closed = portal.once(hours=1)
    assert closed.published == 2
    assert closed.outcome is not None
    rules = {refused.findings[0].rule for refused in closed.outcome.refused}
    assert rules == {"answer.needs-text", "refusal.needs-competent-agency"}, "who is competent has to be said"
    received = {payload.case_id for payload in portal.published() if isinstance(payload, FeedbackReceived)}
    answers = [payload for payload in portal.published() if isinstance(payload, FeedbackResolved)]
    assert {answer.case_id for answer in answers} < received
    assert [answer.outcome.value for answer in answers] == ["ANSWERED", "REJECTED"]
    assert portal.once(hours=1).published == 0


def test_a_city_that_lost_its_requests_is_an_alert_until_somebody_accepts_it(city: tuple[GeoReport, Pulled]) -> None:
    report, portal = city
    for number in range(1, 10):
        report.make(number, START - timedelta(days=number))
    assert portal.once().published == 9
    report.requests.clear()
    assert alert_of(portal.once(hours=1)) == "pull.source-shrunk"
    assert alert_of(portal.once(hours=1)) == "pull.source-shrunk"
    assert portal.entry.memory.accept() is not None
    report.make(50, portal.clock.now)
    again = portal.once(hours=1)
    assert again.published == 1


def test_a_mailbox_is_feedback_and_a_refused_mail_stays_unread(tmp_path: Path, imap: ImapServer) -> None:
    address = imap.folder("Engine")
    letter = b"From: An <a@b.vn>\r\nSubject: %d\r\nMessage-ID: <%d@x>\r\n\r\nDen hong.\r\n"
    imap.put("Engine", *(letter % (number, number) for number in range(3)))
    settings = {"kind": "imap", "address": address, "user": USER, "password": PASSWORD, "tls": "off"}
    portal = pulled(tmp_path, {**settings, "regime": "R1", "batch": 2, "mapping": {"addressed_to": "subject"}})
    portal.clock.now = datetime.now(UTC)
    nobody = portal.once()
    assert (nobody.failed, nobody.published) == ("", 0)  # "0" is no agency
    assert nobody.outcome is not None
    assert len(nobody.outcome.refused) == 3
    assert not any("Seen" in flags for flags in imap.flags("Engine"))
    good = pulled(tmp_path / "good", {**settings, "regime": "R1", "batch": 2})
    good.clock.now = datetime.now(UTC)
    assert good.once().published == 3
    assert good.once().published == 0
    assert imap.flags("Engine") == ["\\Seen"] * 3
