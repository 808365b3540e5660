"""Saying that the tables are older than the program, where a statement failed because of that."""

from __future__ import annotations

import psycopg
import structlog
from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable

from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.stepping_back import list_migrations

log = structlog.get_logger(__name__)

MEND = "run `portalbus migrations up` with this version; processes of the version before may go on meanwhile"


def tell_missing(error: Exception, database_url: str) -> None:
    """Names the migrations that the ledger lacks, after an error that says that something is not there."""
    if not isinstance(error, UndefinedColumn | UndefinedTable | UndefinedFunction):
        return
    try:
        with connect(database_url, application="look") as connection:
            missing = [one.name for one in list_migrations(connection) if one.applied_at is None]
    except psycopg.Error:
        return  # the process ends, and finds out when it is started again
    if missing:
        log.error("ledger.migrations-missing", missing=missing, mend=MEND)
