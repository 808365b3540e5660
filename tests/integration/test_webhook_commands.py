"""`portalbus webhooks`: what operators type, on a real ledger, and what they are told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_rows import LedgerRows, directive
from portalbus.connectors.push.subscriptions import open_desk
from portalbus.infra.cli import main
from webhook_receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hanoi.gov.vn/hook"


@pytest.fixture
def desk(
    ledger_url: str, ledger: LedgerRows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> psycopg.Connection[Any]:
    """The ledger of the commands, without subscriptions."""
    monkeypatch.setenv("PORTALBUS_DATABASE", ledger_url)
    monkeypatch.setenv("PORTALBUS_HOME", str(tmp_path))
    connection = open_desk(ledger_url)
    connection.autocommit = True
    connection.execute("truncate push.subscription cascade; truncate push.message cascade")
    return connection


def add(capsys: pytest.CaptureFixture[str], url: str, *options: str) -> Any:
    assert main(["webhooks", "add", url, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def give_up(desk: psycopg.Connection[Any], subscription: str) -> None:
    """Two deliveries of one directive, the first of which was given up."""
    for number in (1, 2):
        desk.execute(
            "insert into push.message values (%s, %s, 'G22/a', 'DirectivePublished', %s, '{}')",
            (number, f"id-{number}", number),
        )
        desk.execute("insert into push.delivery (subscription, message) values (%s, %s)", (subscription, number))
    desk.execute(
        "update push.delivery set failures = 31, given_up_at = now(), first_failed_at = now() - interval '1 day',"
        " last_error = 'answered [500]' where message = 1"
    )


def test_a_receiver_is_added_shown_and_removed(
    desk: psycopg.Connection[Any], ledger: LedgerRows, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.publish(directive("before"))
    made = add(capsys, URL, "--agency", "H26", "--type", "DirectivePublished", "--lang", "vi")
    assert made["url"] == URL and made["secret"].startswith("whsec_")
    assert main(["webhooks", "list", "--json"]) == 0
    said = capsys.readouterr().out
    (listed,) = json.loads(said)
    assert listed | {"id": made["id"], "agencies": ["H26"], "languages": ["vi"], "since": 1, "queued": 0} == listed
    assert made["secret"] not in said
    assert main(["webhooks", "list"]) == 0
    assert "DirectivePublished H26 vi" in capsys.readouterr().out
    assert main(["webhooks", "remove", made["id"]]) == 0
    assert main(["webhooks", "remove", made["id"]]) == 2
    assert main(["webhooks", "list"]) == 0
    assert "nobody has subscribed" in capsys.readouterr().out


def test_a_secret_of_ones_own_is_taken_from_standard_input_and_not_printed(
    desk: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    assert "secret" not in add(capsys, URL, "--secret", "-")
    assert desk.execute("select secrets from push.subscription").fetchall() == [([SECRET],)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["http://hanoi.gov.vn/"], "not https"),
        (["https://user@hanoi.gov.vn/"], "user or password"),
        ([URL, "--secret", "whsec_short"], "24 to 64 random bytes"),
        ([URL, "--type", "Nonsense"], "is no event type"),
        ([URL, "--type", "Verdict"], "--agency"),
        ([URL, "--whole"], "--agency"),
        ([URL, "--agency", "Hà Nội"], "agency code"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    desk: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["webhooks", "add", *options]) == 2
    assert said in capsys.readouterr().err
    assert desk.execute("select count(*) from push.subscription").fetchone() == (0,)


def test_failed_deliveries_are_listed_redriven_and_dropped(
    desk: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    subscription = add(capsys, URL)["id"]
    assert main(["webhooks", "failed"]) == 0
    give_up(desk, subscription)
    assert main(["webhooks", "list"]) == 1
    capsys.readouterr()
    assert main(["webhooks", "failed", "--json"]) == 1
    (failed,) = json.loads(capsys.readouterr().out)
    assert (failed["webhook_id"], failed["key"], failed["behind"], failed["failures"]) == ("id-1", "G22/a", 1, 31)
    assert main(["webhooks", "failed", subscription]) == 1
    assert "answered [500]" in capsys.readouterr().out
    assert main(["webhooks", "redrive", subscription, "--delivery", "id-2"]) == 1
    assert main(["webhooks", "redrive", subscription]) == 0
    assert desk.execute("select count(*) from push.delivery where given_up_at is null and failures = 0").fetchone() == (
        2,
    )
    assert desk.execute("select changed from push.subscription").fetchone() == (1,)
    desk.execute("update push.delivery set given_up_at = now() where message = 1")
    assert main(["webhooks", "drop", subscription, "--delivery", "id-1"]) == 0
    assert desk.execute("select message from push.delivery").fetchall() == [(2,)]


def test_a_test_message_tells_what_the_receiver_answers(
    desk: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with Receiver() as receiver:
        made = add(capsys, receiver.url, "--internal")
        receiver.secret = made["secret"]
        assert main(["webhooks", "test", made["id"]]) == 0
        assert "answered 204" in capsys.readouterr().out
        (heard,) = receiver.heard
        assert heard.event["type"] == "portalbus.events.Test" and receiver.problems == []
        receiver.answer = lambda event: 500
        assert main(["webhooks", "test", made["id"], "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["error"] == "answered 500"
    outside = add(capsys, receiver.url.replace("http:", "https:"))
    assert main(["webhooks", "test", outside["id"]]) == 1
    assert "is an address inside a network" in capsys.readouterr().err
    assert main(["webhooks", "test", "wh_nobody"]) == 2
