"""Early warning on the real bus: what portals publish raises an alert on the topic, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from alert_topic import AlertTopic
from bus_events import Lane, public_code, receipt, value_of
from ledger_facts import rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas.codec import Decoded
from whole_bus import Bus

AGENCIES = ("H18", "G09")
WEEKS = 4
ADDED = 60
USUAL = """
insert into ledger.case (case_id, public_code, receiver, owner, regime, category, channel, field, area, urgency,
    subject, content, language, received_at, state, position)
select 'H18-usual-' || n, 'U' || lpad(n::text, 11, '0'), 'H18', 'H18', 'R2', 1, 'WEB', 'giao-thong', '11', 'NORMAL',
    'Phản ánh số ' || n, md5(n::text) || ' ' || md5('a' || n) || ' ' || md5('b' || n), 'vi',
    date_trunc('day', now()) - interval '1 hour' * n, 'RECEIVED', 0
from generate_series(1, %s) n"""
"""One feedback an hour, day and night, for some weeks; each says something of its own."""
EARLIER = "update ledger.case set received_at = received_at - interval '8 hours' where case_id like 'H18-new-%'"


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    found = Bus(endpoints, tmp_path, AGENCIES).open()
    try:
        yield found
    finally:
        found.close()


def publish(bus: Bus, lane: Lane, first: int, count: int, content: str) -> None:
    now = datetime.now(UTC)
    records: list[tuple[bytes | None, bytes | None]] = []
    for number in range(first, first + count):
        said = {"received_at": now - timedelta(seconds=number), "field": "giao-thong", "area": "11"}
        text = content or f"Ý kiến {' '.join(f'{number}x{part}' for part in range(20))}"
        payload = receipt(f"H18-new-{number:04}", number, content=text, subject=f"Phản ánh {number}", **said)
        item = lane.say(payload, occurred_at=now, published_at=now)
        assert isinstance(item.content, Decoded)
        records.append((payload.case_id.encode(), value_of(item.content.event, bus.schema_ids)))
    bus.publish("H18", records)


@pytest.fixture
def topic(bus: Bus, endpoints: Endpoints) -> Iterator[AlertTopic]:
    found = AlertTopic(endpoints.bootstrap)
    yield found
    found.close()


def told(topic: AlertTopic) -> list[str]:
    """What readers of the topic were told of surges."""
    return [alert.status.value for alert in topic.of_kind("feedback.surge")]


def open_alerts(connection: psycopg.Connection, kind: str) -> list[tuple[str, str, dict[str, str]]]:
    found = rows(connection, "select kind, agency, topic, params from ledger.alert where closed_at is null")
    return [(agency, topic, params) for name, agency, topic, params in found if name == kind]


def test_a_surge_that_portals_publish_is_an_alert_with_counts_and_public_codes(bus: Bus, topic: AlertTopic) -> None:
    with psycopg.connect(bus.database_url) as connection:
        connection.execute(USUAL, (WEEKS * 7 * 24,))
    warning = bus.start_warning()
    bus.wait_until(lambda: warning.said("warning.started"), "early warning")
    worker = bus.start_worker()
    bus.start_relay()
    lane = Lane("H18")
    publish(bus, lane, 1, ADDED, "")
    bus.wait_until(lambda: open_alerts(bus.look, "feedback.surge"), "the surge")
    ((agency, series, params),) = open_alerts(bus.look, "feedback.surge")
    assert agency == "H18"
    assert series == "giao-thong@11"
    assert int(params["observed"]) >= 6
    assert float(params["expected"]) < 5
    assert set(params["examples"].split(", ")) <= {public_code(number) for number in range(1, ADDED + 1)}
    assert "Điện Biên" in params["series"]
    bus.wait_until(lambda: told(topic) == ["OPEN"], "the surge on the topic")

    publish(bus, lane, ADDED + 1, 2 * ADDED, "")
    bus.wait_until(lambda: told(topic)[:2] == ["OPEN", "OPEN"], "the surge, told again as it has grown")
    (grown,) = open_alerts(bus.look, "feedback.surge")
    assert int(grown[2]["observed"]) >= 2 * int(params["observed"])

    same = "Đường vào bản ngập nước nhiều ngày, đề nghị sửa chữa gấp để các cháu đi học an toàn."
    publish(bus, lane, 3 * ADDED + 1, 12, same)
    bus.wait_until(lambda: open_alerts(bus.look, "feedback.repeated"), "the like texts")
    assert same not in warning.text()
    assert warning.stop() == 0

    again = bus.start_warning()
    bus.wait_until(lambda: again.said("warning.started"), "early warning, anew from the ledger")
    bus.wait_until(lambda: again.said("warning.loaded"), "its state")
    publish(bus, lane, 3 * ADDED + 13, 1, "")
    bus.wait_until(lambda: bus.next_offset("H18") == 3 * ADDED + 13, "judging")
    assert len(open_alerts(bus.look, "feedback.surge")) == 1, "known from before, and not told twice"
    assert again.stop() == 0

    assert worker.stop() == 0  # it would put right what follows
    with psycopg.connect(bus.database_url) as connection:  # as if all of it had come eight hours earlier
        connection.execute("delete from ledger.case where case_id like 'H18-usual-%'")
        connection.execute(USUAL, (WEEKS * 7 * 24,))
        connection.execute(EARLIER)
    bus.start_warning()
    bus.wait_until(lambda: not open_alerts(bus.look, "feedback.surge"), "the end of the surge")
    bus.wait_until(lambda: told(topic)[-1:] == ["CLOSED"], "its end on the topic")
    assert len({alert.id for alert in topic.of_kind("feedback.surge")}) == 1, (
        "one incident, opened, told again and closed under one id"
    )
