"""Answers by the day on which the law wants them: in time, late, or still to come. The week behind us and the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

DAYS_BACK, DAYS_AHEAD = 6, 7
DAYS = """
select due_on as day, count(*) filter (where state = 'MET') as in_time,
    count(*) filter (where state in ('LATE', 'MISSED') or state = 'OPEN' and due_at < %(now)s) as late,
    count(*) filter (where state = 'OPEN' and due_at >= %(now)s) as owed
from casework.deadline
where duty = 'ANSWER' and state in ('OPEN', 'MET', 'LATE', 'MISSED') and due_on between %(first)s and %(last)s
    and (%(agency)s::text is null or agency = %(agency)s or agency like %(agency)s || '.%%')
group by due_on"""


@dataclass(frozen=True, slots=True)
class DueDay:
    """The answers that were or are due on one day of Viet Nam; `late` ones were given too late or not at all."""

    day: date
    in_time: int
    late: int
    owed: int

    @property
    def due(self) -> int:
        """All of them."""
        return self.in_time + self.late + self.owed


def due_days(connection: Connection[Any], agency: str | None, today: date, now: datetime) -> list[DueDay]:
    """The fortnight around `today` of an agency and its units or of all, every day in turn, also those without any."""
    first, last = today - timedelta(days=DAYS_BACK), today + timedelta(days=DAYS_AHEAD)
    values = {"agency": agency, "first": first, "last": last, "now": now}
    with connection.cursor(row_factory=class_row(DueDay)) as cursor:
        known = {row.day: row for row in cursor.execute(DAYS, values)}
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [known.get(day) or DueDay(day, 0, 0, 0) for day in days]
