"""The transactional outbox of a portal that uses SQLAlchemy: PostgreSQL, MySQL, MariaDB or SQLite.

`from portalbus.producers.sql_outbox import SqlOutbox` needs the extra `portalbus[sqlalchemy]` and the driver that the
portal uses already.
"""

from __future__ import annotations

from portalbus.producers.intents.intent import Intent
from portalbus.producers.intents.intent_table import IntentCounts, IntentTable, ParkedIntent
from portalbus.producers.intents.relay import IntentRelay
from portalbus.producers.sql_outbox.sql_outbox import SqlOutbox

__all__ = ["Intent", "IntentCounts", "IntentRelay", "IntentTable", "ParkedIntent", "SqlOutbox"]
