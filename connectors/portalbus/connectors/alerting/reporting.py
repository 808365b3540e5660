"""Sends reports: of urgent cases that nobody took, at once when one reaches the top and daily; the daily synthesis.

Each recipient has a row that says what he was sent. It changes in the transaction in which the report goes out, so no
restart sends one again; one that went out just before a crash goes out under the same id, which receivers know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

import structlog
from psycopg import Connection

from portalbus.connectors.alerting.channels import NotTold
from portalbus.connectors.alerting.composing import Composer
from portalbus.connectors.alerting.document import Document
from portalbus.connectors.alerting.report_channels import ReportChannel
from portalbus.connectors.alerting.settings import Report, ReportKind
from portalbus.connectors.alerting.telling import FIRST_PAUSE_S, LONGEST_PAUSE_S, Condition, Counted
from portalbus.schemas.zone import ZONE
from portalbus.streams.reading.synthesis import Level, read_synthesis
from portalbus.streams.reading.unclaimed import keys_on_top, unclaimed_cases

log = structlog.get_logger(__name__)

ONE_DAY = timedelta(days=1)
MOST_DAYS_LATE = 7
"""Days whose synthesis is still sent when the process was away."""

NEW_PLACE = "insert into alerting.report (recipient, last_day) values (%s, %s) on conflict do nothing"
TAKE = """
select last_day, known, failures from alerting.report where recipient = %s and due_at <= %s for update skip locked"""
SENT = """
update alerting.report set last_day = %s, known = %s, failures = 0, due_at = '-infinity', sent = sent + 1,
    last_error = '' where recipient = %s"""
LATER = """
update alerting.report set failures = failures + 1, due_at = %s, last_error = %s where recipient = %s"""

CONDITION = "select sent, failures, last_error from alerting.report where recipient = %s"


@dataclass(frozen=True, slots=True)
class Due:
    """A report to send, under an id of its own; then the row says `last_day` and `known`."""

    id: str
    document: Document
    last_day: date
    known: frozenset[str]


def begin_reports(connection: Connection[Any], recipients: Iterable[ReportChannel], now: datetime) -> None:
    """Gives every recipient his row. A new one is sent the next daily report, and at once what stands at the top."""
    with connection.transaction():
        for channel in recipients:
            told = (
                _newest_day(channel.report, now)
                if _is_time(channel.report, now)
                else _newest_day(channel.report, now) - ONE_DAY
            )
            connection.execute(NEW_PLACE, (channel.name, told))


def report_all(
    connection: Connection[Any], recipients: Iterable[ReportChannel], now: datetime, counted: Counted
) -> int:
    """Sends what is due; returns how many. One who cannot be reached holds up nobody else."""
    return sum(_report(connection, channel, now, counted) for channel in recipients)


def report_conditions(connection: Connection[Any], recipients: Iterable[ReportChannel]) -> list[Condition]:
    """How it stands with everybody."""
    found = []
    for channel in recipients:
        row = connection.execute(CONDITION, (channel.name,)).fetchone()
        if row is not None:
            found.append(Condition(channel.name, row[0], min(row[1], 1), row[1], row[2]))
    return found


def _report(connection: Connection[Any], channel: ReportChannel, now: datetime, counted: Counted) -> bool:
    with connection.transaction():
        row = connection.execute(TAKE, (channel.name, now)).fetchone()
        if row is None:
            return False
        last_day, known, failures = row
        due = _due(connection, channel.report, last_day, frozenset(known), now)
        if due is None:
            return False
        try:
            channel.send(due.id, due.document, now)
        except NotTold as error:
            pause = timedelta(seconds=min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
            connection.execute(LATER, (now + pause, error.why, channel.name))
            counted(channel.kind, "failed")
            log.warning("alerting.report-later", kind=channel.report.kind, why=error.why, failures=failures + 1)
            return False
        connection.execute(SENT, (due.last_day, sorted(due.known), channel.name))
        counted(channel.kind, "told")
        log.info("alerting.reported", kind=channel.report.kind, channel=channel.kind, report=due.id)
        return True


def _due(
    connection: Connection[Any], report: Report, last_day: date, known: frozenset[str], now: datetime
) -> Due | None:
    if report.kind is ReportKind.SYNTHESIS:
        return _synthesis(connection, report, last_day, now)
    return _urgent(connection, report, last_day, known, now)


def _urgent(
    connection: Connection[Any], report: Report, last_day: date, known: frozenset[str], now: datetime
) -> Due | None:
    today = _newest_day(report, now)
    on_top = keys_on_top(connection)
    if on_top - known:
        name = sha256("\n".join(sorted(on_top - known)).encode()).hexdigest()[:16]
    elif last_day < today and _is_time(report, now):
        name, last_day = f"{today}", today
    else:
        return None
    document = Composer(report.language).urgent(unclaimed_cases(connection), now)
    return Due(f"urgent.{name}", document, last_day, on_top)


def _synthesis(connection: Connection[Any], report: Report, last_day: date, now: datetime) -> Due | None:
    newest = _newest_day(report, now)
    day = max(last_day + ONE_DAY, newest - MOST_DAYS_LATE * ONE_DAY)
    if day > newest or (day == newest and not _is_time(report, now)):
        return None
    level = Level(report.level) if report.level else None
    found = read_synthesis(connection, day, report.agency, level)
    of = report.agency or report.level or "country"
    return Due(f"synthesis.{day}.{of}", Composer(report.language).day(found), day, frozenset())


def _newest_day(report: Report, now: datetime) -> date:
    """The day that the daily report of today is about: the synthesis is of the day before."""
    today = now.astimezone(ZONE).date()
    return today - ONE_DAY if report.kind is ReportKind.SYNTHESIS else today


def _is_time(report: Report, now: datetime) -> bool:
    return now.astimezone(ZONE).time() >= report.at
