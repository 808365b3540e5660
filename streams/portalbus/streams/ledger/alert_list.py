"""The alerts, for operators: those that are open, or all there were."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.schemas.models import Texts

LIST = """
select id::text, kind, agency, portal, event_type, since, expected_by, raised_at, closed_at, message,
    closed_by, closed_why
from ledger.alert
where (%(all)s or closed_at is null)
    and (%(agency)s::text is null or agency = %(agency)s or agency like %(agency)s || '.%%')
order by closed_at is not null, raised_at desc, id limit %(limit)s"""

COUNT = """
select agency, count(*) from ledger.alert
where closed_at is null and agency <> '' and kind <> all(%(without)s) group by agency"""


@dataclass(frozen=True, slots=True)
class ListedAlert:
    """One alert; `message` holds its texts as they were when it was raised. Empty names: it is not about one.

    `closed_by` is None while it is open, and where it closed by itself.
    """

    id: str
    kind: str
    agency: str
    portal: str
    event_type: str
    since: datetime
    expected_by: datetime | None
    raised_at: datetime
    closed_at: datetime | None
    message: dict[str, str]
    closed_by: str | None
    closed_why: str | None

    @property
    def texts(self) -> Texts:
        """What it says."""
        return Texts.model_validate(self.message)


def list_alerts(
    connection: Connection[Any], agency: str | None = None, *, closed: bool = False, limit: int = 1_000
) -> list[ListedAlert]:
    """The open alerts, newest first, and after them the closed ones when asked for.

    Those about an agency and its units; with an empty `agency`, those that are about none.
    """
    with connection.cursor(row_factory=class_row(ListedAlert)) as cursor:
        cursor.execute(LIST, {"all": closed, "agency": agency, "limit": limit})
        return cursor.fetchall()


def count_alerts(connection: Connection[Any], without: Collection[str] = ()) -> dict[str, int]:
    """How many alerts about each agency are open, those of some kinds left out."""
    return dict(connection.execute(COUNT, {"without": list(without)}).fetchall())
