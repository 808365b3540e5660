"""Reports: urgent cases that nobody took reach the Government's mailbox, and the day's synthesis comes every day."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bus_events import answer, public_code, receipt
from casework_bench import CaseworkBench, casework_bench
from portalbus.connectors.alerting.report_channels import report_channels
from portalbus.connectors.alerting.reporting import begin_reports, report_all, report_conditions
from portalbus.connectors.alerting.settings import AlertingWrong, read_settings
from portalbus.connectors.alerting.telling import PACKAGE
from portalbus.infra.cli import main
from portalbus.producers.testing import a_step
from portalbus.schemas.models import CaseStep, CaseUrgency
from portalbus.schemas.zone import ZONE
from portalbus.streams.ledger.database import connect, migrate
from postbox import Postbox, mail_server

MONDAY = datetime(2026, 3, 2, 9, tzinfo=ZONE)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URGENT = '[[report]]\nkind = "urgent"\nto = "thutuong@vpcp.example"\n'


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, int]]:
    with mail_server() as found:
        yield found


@pytest.fixture
def bench(ledger_url: str) -> Iterator[CaseworkBench]:
    migrate(ledger_url, PACKAGE)
    with casework_bench(ledger_url) as found:
        found.look.execute("truncate alerting.report")
        found.now = MONDAY
        yield found


class Sending:
    """The part of the alerting process that sends reports, started anew for each look."""

    def __init__(self, bench: CaseworkBench, config: Path) -> None:
        self._bench, self._config = bench, config

    def __call__(self, now: datetime) -> int:
        recipients = report_channels(read_settings(self._config))
        with connect(self._bench.url, application="alerting", autocommit=True) as connection:
            begin_reports(connection, recipients, now)
            sent = 0
            while one := report_all(connection, recipients, now, lambda channel, outcome: None):
                sent += one
            return sent


def sending(bench: CaseworkBench, tmp_path: Path, port: int, *reports: str) -> Sending:
    config = tmp_path / "alerting.toml"
    smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "bus@centre.example"\n'
    config.write_text(smtp + "".join(reports), encoding="utf-8")
    return Sending(bench, config)


def urgent(bench: CaseworkBench, number: int, at: datetime) -> str:
    case = f"H26-{number:04}"
    bench.now = at
    bench.say(
        "H26", receipt(case, number, regime="R6", received_at=at, urgency=CaseUrgency.URGENT, area="01", field="y-te")
    )
    bench.work()
    return case


def parts(box: Postbox, number: int = -1) -> tuple[str, str]:
    """The text and the HTML of a mail."""
    mail = box.mails[number]
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and html is not None
    return text.get_content(), html.get_content()


def test_a_case_that_nobody_takes_is_in_the_governments_mailbox_once_it_has_reached_the_top(
    bench: CaseworkBench, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    send = sending(bench, tmp_path, port, URGENT)
    urgent(bench, 1, MONDAY)
    bench.work(MONDAY + 61 * HOUR / 60)
    assert send(bench.now) == 0, "the Government Portal is still asked"
    bench.work(MONDAY + 2 * HOUR + HOUR / 60)
    assert send(bench.now) == 1
    assert send(bench.now) == 0, "a restart sends nothing again"
    text, html = parts(box)
    code = "-".join(public_code(1)[start : start + 4] for start in (0, 4, 8))
    for said in (code, "UBND thành phố Hà Nội (hạn 10:00, 02/03/2026)", "Văn phòng Chính phủ (hạn 11:00, 02/03/2026)"):
        assert said in text and said in html
    assert "chờ Chính phủ, Thủ tướng Chính phủ từ 11:00, 02/03/2026" in text and "y-te, Hà Nội" in text
    assert "Đèn đường" not in text + html, "nothing of what a citizen wrote"
    assert (box.mails[0]["To"], box.mails[0]["Content-Language"]) == ("thutuong@vpcp.example", "vi")


def test_the_next_case_at_the_top_is_sent_at_once_and_the_day_brings_one_report_of_all(
    bench: CaseworkBench, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    send = sending(bench, tmp_path, port, URGENT)
    first = urgent(bench, 1, MONDAY)
    urgent(bench, 2, MONDAY + HOUR)
    bench.work(MONDAY + 2.1 * HOUR)
    assert send(bench.now) == 1
    assert "Đã lên cấp cao nhất mà chưa cơ quan nào nhận: 1" in parts(box)[0]
    assert "Đang chuyển lên cấp trên, chưa cơ quan nào nhận: 1" in parts(box)[0]
    bench.work(MONDAY + 3.1 * HOUR)
    assert send(bench.now) == 1
    assert "Đã lên cấp cao nhất mà chưa cơ quan nào nhận: 2" in parts(box)[0]
    bench.now += HOUR
    bench.say("H26", a_step(first, CaseStep.ACKNOWLEDGED, at=bench.now))
    bench.work()
    assert send(bench.now) == 0
    tomorrow = (MONDAY + DAY).replace(hour=7)
    assert (send(tomorrow - HOUR), send(tomorrow), send(tomorrow + HOUR)) == (0, 1, 0)
    assert "chưa cơ quan nào nhận: 1" in parts(box)[0]
    assert len({mail["Message-ID"] for mail in box.mails}) == 3


def test_a_day_without_urgent_cases_says_so(bench: CaseworkBench, postbox: tuple[Postbox, int], tmp_path: Path) -> None:
    box, port = postbox
    send = sending(bench, tmp_path, port, URGENT)
    assert (send(MONDAY), send(MONDAY + DAY)) == (0, 1)
    assert "Không có phản ánh khẩn nào chưa được cơ quan nhận." in parts(box)[0]


def test_a_report_that_the_server_would_not_take_goes_out_under_the_same_id_later(
    bench: CaseworkBench, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    send = sending(bench, tmp_path, port, URGENT)
    urgent(bench, 1, MONDAY)
    bench.work(MONDAY + 3 * HOUR)
    box.answers = ["451 try again later"]
    assert (send(bench.now), send(bench.now)) == (0, 0)
    recipients = report_channels(read_settings(tmp_path / "alerting.toml"))
    assert [one.last_error for one in report_conditions(bench.look, recipients)] == ["SMTPDataError: 451"]
    assert send(bench.now + HOUR) == 1 and len(box.mails) == 1
    bench.look.execute(
        "update alerting.report set known = '{}'"
    )  # as after a crash between sending and writing it down
    assert send(bench.now + HOUR) == 1
    assert box.mails[0]["Message-ID"] == box.mails[1]["Message-ID"]


def test_the_synthesis_of_the_day_before_comes_every_morning_by_level_and_after_days_away(
    bench: CaseworkBench, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    province = '[[report]]\nkind = "synthesis"\nlevel = "province"\nat = 06:30:00\nto = "tonghop@vpcp.example"\n'
    send = sending(bench, tmp_path, port, province)
    assert send(MONDAY) == 0
    bench.say("H26", receipt("H26-0001", 1, regime="R2", received_at=MONDAY, field="y-te"))
    bench.say("G11", receipt("G11-0001", 2, regime="R2", received_at=MONDAY))
    bench.now += HOUR
    bench.say("H26", answer("H26-0001", answered_at=bench.now))
    bench.work(MONDAY + DAY)
    assert send(MONDAY.replace(day=3, hour=6)) == 0
    assert send(MONDAY.replace(day=3, hour=6, minute=30)) == 1
    text, html = parts(box)
    assert "Tổng hợp phản ánh, kiến nghị ngày 02/03/2026: tỉnh, thành phố" in text
    assert "Tiếp nhận: 1" in text and "UBND thành phố Hà Nội: 1" in text and "Đã trả lời: 1" in text
    assert "<table" in html
    assert send(MONDAY + 4 * DAY) == 3, "one for each day"
    assert send(MONDAY + 4 * DAY) == 0


def test_a_report_goes_to_a_webhook_as_text_and_html(
    bench: CaseworkBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    got: list[tuple[str | None, dict[str, Any]]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.headers["webhook-id"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    hook = f'[[report]]\nkind = "urgent"\nurl = "{url}"\nsecret_env = "HOOK_SECRET"\nlanguage = "en"\n'
    send = sending(bench, tmp_path, 25, hook)
    urgent(bench, 1, MONDAY)
    bench.work(MONDAY + 3 * HOUR)
    try:
        assert send(bench.now) == 1
    finally:
        server.shutdown()
    ((webhook_id, body),) = got
    assert body["type"] == "portalbus.report" and webhook_id == body["data"]["id"]
    assert "At the top level, and taken by nobody: 1" in body["data"]["text"]
    assert body["data"]["html"].startswith("<!doctype html>")


@pytest.mark.parametrize(
    "wrong",
    [
        '[[report]]\nkind = "urgent"\n',
        URGENT + 'level = "unit"\n',
        URGENT + 'url = "https://x.example"\nsecret_env = "X"\n',
        '[[report]]\nkind = "urgent"\nurl = "https://x.example"\nsecret_env = "NOT_SET"\n',
    ],
)
def test_a_report_that_nobody_could_get_is_said_at_once(wrong: str, tmp_path: Path) -> None:
    config = tmp_path / "alerting.toml"
    config.write_text('[smtp]\nhost = "127.0.0.1"\nsender = "bus@centre.example"\n' + wrong, encoding="utf-8")
    with pytest.raises(AlertingWrong):
        read_settings(config)


def test_the_alerting_command_sends_reports_and_says_how_it_stands(
    bench: CaseworkBench,
    postbox: tuple[Postbox, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box, port = postbox
    sending(bench, tmp_path, port, URGENT)
    urgent(bench, 1, datetime.now(ZONE) - 3 * HOUR)
    bench.work(datetime.now(ZONE))
    monkeypatch.setenv("PORTALBUS_HOME", str(tmp_path))
    config = ["--config", str(tmp_path / "alerting.toml"), "--database-url", bench.url]
    assert main(["alerting", "run", "--once", *config]) == 0
    assert len(box.mails) == 1 and date.today().isoformat()[:4] in box.mails[0]["Subject"]
    capsys.readouterr()
    assert main(["alerting", "status", "--json", *config]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["told"], one["failures"]) == (1, 0)
