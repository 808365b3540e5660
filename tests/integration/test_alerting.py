"""Alerts by mail and webhook, over real servers: one each, in the office's language, after failures too."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_rows import LedgerRows
from portalbus.connectors.alerting.channels import Channel, channels
from portalbus.connectors.alerting.settings import AlertingWrong, read_settings
from portalbus.connectors.alerting.telling import PACKAGE, begin, conditions, tell_all
from portalbus.infra.cli.app import run
from portalbus.streams.ledger.alerts import Concern, Raise, close_alert, raise_alert, tell_alerts, update_alert
from portalbus.streams.ledger.database import migrate
from postbox import Postbox, mail_server

SINCE = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
H17, H18 = Concern("source.silent", "H17", "www"), Concern("source.silent", "H18", "www")
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, int]]:
    with mail_server() as found:
        yield found


@pytest.fixture
def connection(ledger: LedgerRows) -> Iterator[psycopg.Connection]:
    migrate(ledger.database_url, PACKAGE)
    with psycopg.connect(ledger.database_url, autocommit=True) as found:
        found.execute("truncate ledger.alert, ledger.notice, alerting.place")
        yield found


def told_to(tmp_path: Path, port: int, *more: str) -> Path:
    config = tmp_path / "alerting.toml"
    config.write_text(
        f'[smtp]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "bus@centre.example"\n' + "".join(more),
        encoding="utf-8",
    )
    return config


def mailbox(agency: str, language: str) -> str:
    return f'[[mailbox]]\nagency = "{agency}"\nto = "{language}@office.example"\nlanguage = "{language}"\n'


def tell(connection: psycopg.Connection, recipients: list[Channel]) -> int:
    return tell_all(connection, recipients, lambda channel, outcome: None)


def test_an_alert_is_one_mail_in_the_language_of_the_office_and_one_more_when_it_is_over(
    connection: psycopg.Connection, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    config = told_to(tmp_path, port, mailbox("H17", "vi"), mailbox("*", "zh"))
    recipients = channels(read_settings(config))
    begin(connection, recipients)
    with connection.transaction():
        raise_alert(connection, H17, SINCE)
        raise_alert(connection, H18, SINCE)
    assert tell(connection, recipients) == 3
    assert tell(connection, recipients) == 0, "told once"
    with connection.transaction():
        close_alert(connection, H17)
    assert tell(connection, recipients) == 2
    office = [mail for mail in box.mails if mail["To"] == "vi@office.example"]
    assert [mail["Subject"] for mail in office] == [
        "[portalbus] Cảnh báo: H17/www",
        "[portalbus] Đã kết thúc: H17/www",
    ]
    assert "Nguồn H17/www không còn gửi tín hiệu từ 2026-11-20 09:15" in office[0].get_content()
    assert office[1]["In-Reply-To"] == office[0]["Message-ID"]
    assert sum(mail["To"] == "zh@office.example" for mail in box.mails) == 3
    assert "未再收到" in next(mail for mail in box.mails if mail["To"] == "zh@office.example").get_content()


def test_what_has_changed_is_a_mail_of_its_own_below_the_one_that_opened_it(
    connection: psycopg.Connection, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    recipients = channels(read_settings(told_to(tmp_path, port, mailbox("*", "vi"))))
    begin(connection, recipients)
    surge = Concern("feedback.surge", "H17", topic="giao-thong@04")
    params = {"series": "giao-thong, Cao Bằng", "expected": "2.0", "examples": "7GQ2M0Z4KX9A"}
    with connection.transaction():
        tell_alerts(connection, [Raise(surge, SINCE, None, {**params, "observed": "20"})], [])
    for observed in ("40", "80"):
        with connection.transaction():
            update_alert(connection, Raise(surge, SINCE, None, {**params, "observed": observed}))
    with connection.transaction():
        close_alert(connection, surge)
    assert tell(connection, recipients) == 4
    ids = [mail["Message-ID"] for mail in box.mails]
    assert len(set(ids)) == 4, "mail systems drop what they have seen"
    assert [mail["Subject"].partition(":")[0] for mail in box.mails] == [
        "[portalbus] Cảnh báo",
        "[portalbus] Cập nhật",
        "[portalbus] Cập nhật",
        "[portalbus] Đã kết thúc",
    ]
    assert [(mail["In-Reply-To"], mail["References"]) for mail in box.mails[1:]] == [(ids[0], ids[0])] * 3
    assert "80" in box.mails[2].get_content()


def test_a_mail_server_that_says_later_is_tried_again_and_loses_nothing(
    connection: psycopg.Connection, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    recipients = channels(read_settings(told_to(tmp_path, port, mailbox("H17", "en"))))
    begin(connection, recipients)
    with connection.transaction():
        raise_alert(connection, H17, SINCE)
    box.answers = ["451 try again later"]
    assert tell(connection, recipients) == 0
    assert tell(connection, recipients) == 0, "not before its pause is over"
    waiting = conditions(connection, recipients)[0]
    assert (waiting.waiting, waiting.failures, waiting.last_error) == (1, 1, "SMTPDataError: 451")
    connection.execute("update alerting.place set due_at = now()")
    assert tell(connection, recipients) == 1 and len(box.mails) == 1
    assert conditions(connection, recipients)[0].failures == 0


def test_who_comes_late_hears_of_what_comes_and_two_processes_never_tell_twice(
    connection: psycopg.Connection, ledger: LedgerRows, postbox: tuple[Postbox, int], tmp_path: Path
) -> None:
    box, port = postbox
    recipients = channels(read_settings(told_to(tmp_path, port, mailbox("*", "en"))))
    with connection.transaction():
        raise_alert(connection, H17, SINCE)
    begin(connection, recipients)
    with connection.transaction():
        raise_alert(connection, H18, SINCE)
    with psycopg.connect(ledger.database_url) as other:
        other.execute("select * from alerting.place for update")
        assert tell(connection, recipients) == 0, "another process holds the place"
    assert tell(connection, recipients) == 1
    assert [mail["Subject"] for mail in box.mails] == ["[portalbus] Alert: H18/www"]


def test_a_webhook_is_signed_and_carries_the_alert(
    connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    came: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = tmp_path / "alerting.toml"
        url = f"http://127.0.0.1:{server.server_port}/alerts"
        config.write_text(f'[[webhook]]\nurl = "{url}"\nsecret_env = "HOOK_SECRET"\n', encoding="utf-8")
        recipients = channels(read_settings(config))
        begin(connection, recipients)
        with connection.transaction():
            raise_alert(connection, H18, SINCE)
        assert tell(connection, recipients) == 1
        server.shutdown()
    headers, body = came[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mark = base64.b64encode(hmac.digest(b"k" * 32, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{mark}"
    assert json.loads(body)["data"]["kind"] == "source.silent" and json.loads(body)["data"]["agency"] == "H18"


def test_the_command_tells_once_and_shows_how_it_stands(
    connection: psycopg.Connection,
    ledger: LedgerRows,
    postbox: tuple[Postbox, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    box, port = postbox
    config = told_to(tmp_path, port, mailbox("*", "en"))
    where = ["--config", str(config), "--database-url", ledger.database_url]
    assert run(["alerting", "run", "--once", *where]) == 0
    with connection.transaction():
        raise_alert(connection, H17, SINCE)
    assert run(["alerting", "run", "--once", *where]) == 0
    assert len(box.mails) == 1
    capsys.readouterr()
    assert run(["alerting", "status", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)[0]["told"] == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names nobody"),
        ('[[mailbox]]\nagency = "H17"\nto = "a@b.example"\n', r"no mail server: add \[smtp\]"),
        ('[[mailbox]]\nagency = "h17"\nto = "a@b.example\\nBcc: x@y.example"\n', "mailbox.0.agency.*mailbox.0.to"),
        ('[[webhook]]\nurl = "https://x.example"\nsecret_env = "NOT_THERE"\n', "NOT_THERE holds no secret"),
        ("[smtp", "is no TOML"),
    ],
)
def test_settings_that_cannot_be_used_say_why(text: str, why: str, tmp_path: Path) -> None:
    config = tmp_path / "alerting.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(AlertingWrong, match=why):
        read_settings(config)
