"""A ledger in which sources are out of step in every way, for tests of the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from ledger_rows import LedgerRows, answer, directive, feedback
from portalbus.streams.ledger.alerts import Concern, Raise, tell_alerts

GAP = (4, 6)
"""The sequences that H26/www misses."""


def fill_office(ledger: LedgerRows, database_url: str, now: datetime | None = None) -> int:
    """H26 is out of step in every way, H29 is in step, H57 waits, G22 is carried by two; returns the parked offset."""
    now = now or datetime.now(UTC)
    start = now - timedelta(hours=5)
    ledger.publish(directive("kh-204", number="204/KH-UBND", document_type="KH"), "H26", start)
    central = {
        "number": "118/CĐ-TTg",
        "document_type": "CD",
        "title": "Công điện về chủ động ứng phó mưa lũ tại các tỉnh miền Trung",
        "recipients": ["H29", "H57"],
    }
    ledger.publish(directive("cd-118", **central), "G22", start + timedelta(minutes=3))
    copy = directive("dang-lai", **{**central, "recipients": []})
    ledger.publish(copy, "H29", start + timedelta(minutes=20))
    carrying = {"relations": [{"kind": "RELATES_TO", "target": "118/CĐ-TTg"}], "number": "9/KH-UBND"}
    ledger.publish(directive("kh-9", document_type="KH", **carrying), "H26", start + timedelta(minutes=45))
    for number in range(30):
        at = start + timedelta(minutes=7 * number)
        ledger.publish(directive(f"tb-{number}", number=f"{number}/TB-UBND", document_type="TB"), "H26", at)
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"), start)
    ledger.resolve(answer("H26-0001"), "H26", start + timedelta(hours=1))
    for rule in ("schema.format", "directive.version-not-next"):
        ledger.refuse("H26", rule)
    ledger.refuse("H26", "event.duplicate", "DUPLICATE")
    ledger.wait("H57", "H57-0009")
    ledger.wait("H26", "H26-0002")
    ledger.park("H26", "record.undecodable")
    with psycopg.connect(database_url, autocommit=True) as connection:
        _unsettle(connection, now)
        row = connection.execute("select lane_offset from ledger.parked where agency = 'H26'").fetchone()
    assert row is not None
    return int(row[0])


def _unsettle(connection: psycopg.Connection[tuple[object, ...]], now: datetime) -> None:
    hours_ago = [now - timedelta(hours=hours) for hours in range(4)]
    connection.execute(
        "insert into ledger.gap (agency, portal, epoch, first, last, missing, opened_at, asked, ask_at)"
        " values ('H26', 'www', 1, %s, %s, 3, %s, 2, %s)",
        (*GAP, hours_ago[2], now + timedelta(hours=1)),
    )
    connection.execute(
        "insert into ledger.repair (kind, place, agency, portal, key, found_at) values"
        " ('altered', 'directive', 'H26', 'www', 'H26/kh-204', %(at)s),"
        " ('missing', 'event', 'H26', 'www', 'H26/tb-1', %(at)s)",
        {"at": hours_ago[1]},
    )
    connection.execute(
        "insert into ledger.repair (kind, place, agency, portal, key, found_at, healed_at, healed_from) values"
        " ('altered', 'directive_version', 'H26', 'www', 'H26/tb-2', %s, %s, 'ledger')",
        (hours_ago[3], hours_ago[2]),
    )
    for agency, state in (("H26", "late"), ("H29", "ok"), ("H57", "ok")):
        connection.execute(
            "insert into ledger.cadence (agency, portal, event_type, memory, last_heard_at, state, state_since)"
            " values (%s, 'www', '', %s, %s, %s, %s)",
            (agency, Jsonb([]), hours_ago[1], state, hours_ago[1]),
        )
    connection.execute(
        "insert into ledger.reconciliation values (%(at)s, %(at)s, true, 40, 3, 1, 2)", {"at": hours_ago[1]}
    )


def raise_alert(database_url: str, kind: str, agency: str, **given: str) -> None:
    """An open alert, as the watch raises it."""
    concern = Concern(kind, agency)
    since = datetime.now(UTC) - timedelta(hours=2)
    with psycopg.connect(database_url) as connection:
        tell_alerts(connection, [Raise(concern, since, since, given)], [], datetime.now(UTC))


def owe_answers(database_url: str, agency: str, states: Mapping[int, Sequence[str]]) -> None:
    """Cases that an agency has, with answers due so many days from today, each in the state that is said."""
    with psycopg.connect(database_url) as connection:
        connection.execute("truncate casework.handling, casework.deadline")
        for days, state in ((days, state) for days, several in states.items() for state in several):
            connection.execute(
                "with case_ as (insert into casework.handling (case_id, number, agency, level, regime, category,"
                " received_at, returned, extended, reopened, told_late) values (gen_random_uuid(), 1, %(agency)s, 'L1',"
                " 'R1', 1, now(), 0, 0, false, false) returning case_id)"
                " insert into casework.deadline (case_id, handling, duty, number, agency, rule, law, due_on, due_at,"
                " state) select case_id, 1, 'ANSWER', 1, %(agency)s, 'x', 1,"
                " (now() at time zone 'Asia/Ho_Chi_Minh')::date + %(days)s, now() + %(days)s * interval '1 day',"
                " %(state)s from case_",
                {"agency": agency, "days": days, "state": state},
            )


def misroute(database_url: str, case: str, named: str, suggested: str, rule: str, **about: str) -> None:
    """An open case, as casework has it, that was received for another body than a rule of competence names."""
    values = {"case": case, "named": named, "suggested": suggested, "rule": rule, "field": None, "area": None, **about}
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into casework.case (case_id, owner, urgency, state, position, life)"
            " values (%(case)s, %(named)s, 'NORMAL', 'RECEIVED', 1, '{}')",
            values,
        )
        connection.execute(
            "insert into casework.handling (case_id, number, agency, level, regime, category, field, area,"
            " received_at, returned, extended, reopened, told_late) values (%(case)s, 1, %(named)s, 'L1', 'R1', 1,"
            " %(field)s, %(area)s, now(), 0, 0, false, false)",
            values,
        )
        connection.execute(
            "insert into casework.routing (case_id, named, suggested, rules, differs, law)"
            " values (%(case)s, %(named)s, %(suggested)s, array[%(rule)s], true, 1)",
            values,
        )
