"""Alerts: raised once, closed once, told on the topic in the ledger's order, and listed for operators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ledger_facts import one, rows
from ledger_rows import LedgerRows
from portalbus.infra.cli.app import run
from portalbus.streams.ledger.alerts import Concern, close_alert, raise_alert

SINCE = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
STOPPED = Concern("parking.stopped")
SILENT = Concern("source.silent", "H26", "www")
PARAMS = {"parked": "900", "recent": "1000", "limit": "0.5"}


@pytest.fixture
def connection(ledger: LedgerRows) -> Iterator[psycopg.Connection]:
    with psycopg.connect(ledger.database_url) as found:
        found.execute("truncate ledger.alert, ledger.notice")
        found.commit()
        yield found


def test_an_alert_is_raised_once_closed_once_and_told_both_times(connection: psycopg.Connection) -> None:
    first = one(connection, "select next from ledger.position")
    assert raise_alert(connection, SILENT, SINCE, expected_by=SINCE + timedelta(minutes=5))
    connection.commit()
    assert not raise_alert(connection, SILENT, SINCE)
    assert close_alert(connection, SILENT)
    assert not close_alert(connection, SILENT)
    assert raise_alert(connection, SILENT, SINCE), "it may happen again"
    connection.commit()
    told = rows(
        connection, "select position, topic, key, value ->> 'status', value ->> 'id' from ledger.notice order by 1"
    )
    assert [row[:4] for row in told] == [
        (first, "central.alert", "H26/www", "OPEN"),
        (first + 1, "central.alert", "H26/www", "CLOSED"),
        (first + 2, "central.alert", "H26/www", "OPEN"),
    ]
    assert told[0][4] == told[1][4] != told[2][4]
    assert one(connection, "select next from ledger.position") == first + 3


def test_an_alert_that_is_rolled_back_was_never_raised(connection: psycopg.Connection) -> None:
    raise_alert(connection, STOPPED, SINCE, params=PARAMS)
    connection.rollback()
    assert (
        one(connection, "select count(*) from ledger.alert")
        == one(connection, "select count(*) from ledger.notice")
        == 0
    )


def test_a_kind_without_texts_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(KeyError):
        raise_alert(connection, Concern("no.such-kind"), SINCE)


def test_the_command_lists_what_is_open_and_says_when_nothing_is(
    connection: psycopg.Connection, ledger: LedgerRows, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*options: str) -> tuple[int, str]:
        status = run(["alerts", "--database-url", ledger.database_url, "--lang", "en", *options])
        return status, capsys.readouterr().out

    assert said() == (0, "no alert is open\n")
    assert said("--all", "--agency", "H26") == (0, "there never was an alert of H26\n")
    assert said("--json") == (0, "[]\n")
    raise_alert(connection, SILENT, SINCE)
    raise_alert(connection, STOPPED, SINCE, params=PARAMS)
    connection.commit()
    status, text = said()
    assert status == 1
    assert "H26/www" in text and "has not been heard since 2026-11-20 09:15" in text and "900 of the last 1000" in text
    assert [alert["kind"] for alert in json.loads(said("--json", "--agency", "H26")[1])] == ["source.silent"]
    close_alert(connection, SILENT)
    close_alert(connection, STOPPED)
    connection.commit()
    assert said() == (0, "no alert is open\n")
    status, text = said("--all", "--json")
    assert status == 0
    assert all(alert["closed_at"] for alert in json.loads(text)) and len(json.loads(text)) == 2


def test_a_person_closes_an_alert_whose_cause_nobody_mends(
    connection: psycopg.Connection, ledger: LedgerRows, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_alert(connection, SILENT, SINCE)
    connection.commit()
    alert_id = one(connection, "select id::text from ledger.alert")
    connection.commit()
    where = ["--database-url", ledger.database_url]

    def close(name: str, why: str = "the portal was switched off for good") -> int:
        return run(["alerts", "close", name, "--why", why, "--who", "lan", *where, "--json"])

    assert close(alert_id, "  ") == close("no-id") == 2
    assert close("11111111-1111-4111-8111-111111111111") == 1
    assert run(["alerts", "list", *where]) == 1
    capsys.readouterr()
    assert close(alert_id) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["portal"]) == ("CLOSED", "www")
    assert "switched off for good" in said["message"]["zh"]
    assert close(alert_id) == 1, "it is closed"
    assert run(["alerts", "list", *where]) == 0
    capsys.readouterr()
    assert run(["alerts", "list", "--all", *where, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["closed_by"], listed["closed_why"]) == ("lan", "the portal was switched off for good")
    (notice,) = rows(connection, "select value from ledger.notice order by position desc limit 1")
    assert (notice[0]["status"], notice[0]["id"]) == ("CLOSED", alert_id)
    assert raise_alert(connection, SILENT, SINCE), "it may happen again"
