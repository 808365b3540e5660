"""Publishing in the portal's own transaction, with SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Insert, MetaData, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portalbus.producers.intents.intent import Intent, IntentRow, IntentWriter, id_reused
from portalbus.producers.intents.intent_table import IntentTable
from portalbus.producers.intents.relay import IntentRelay
from portalbus.producers.intents.statements import MYSQL, POSTGRESQL, known_dialect
from portalbus.producers.settings import settings_from_env
from portalbus.producers.sql_outbox.engine_transactions import EngineTransactions, check_transactional
from portalbus.producers.sql_outbox.tables import intents_table, relays_table
from portalbus.schemas.models import Payload, Verdict

_OF_THE_RELAY = dict.fromkeys(("bootstrap", "registry_url", "outbox"), "")


class SqlOutbox:
    """The outbox of one portal in its own database.

    `publish()` writes an intent in the portal's transaction; a relay (`relay()`, or the command
    `python -m portalbus.producers.sql_outbox`) brings what was committed to the bus. Give it the portal's `metadata`,
    so that its migrations make the two tables, or call `create_tables`.
    """

    def __init__(self, agency: str, portal: str = "www", *, metadata: MetaData | None = None) -> None:
        """Raises ValueError when agency or portal cannot be."""
        self._writer = IntentWriter(agency, portal)
        self.metadata = MetaData() if metadata is None else metadata
        self.intents = intents_table(self.metadata)
        self.relays = relays_table(self.metadata)

    @classmethod
    def from_env(cls, *, metadata: MetaData | None = None) -> Self:
        """The outbox of PORTALBUS_AGENCY and PORTALBUS_PORTAL. Raises ValueError when the agency is missing there."""
        found = settings_from_env(given=_OF_THE_RELAY)
        return cls(found["agency"], found.get("portal", "www"), metadata=metadata)

    def publish(
        self,
        session: Session | Connection,
        payload: Payload,
        *,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Intent:
        """Publishes one event with the transaction of `session`: it leaves when that commits, and never otherwise.

        Arguments and refusals are those of `Portal.publish`. A Session's own changes are flushed first. Raises
        EventRefused (nothing was written, the transaction can go on) and ValueError for a connection in AUTOCOMMIT.
        With an AsyncSession: `await session.run_sync(outbox.publish, payload)`.
        """
        row = self._writer.row(
            payload,
            event_id=event_id,
            occurred_at=occurred_at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=traceparent,
        )
        if isinstance(session, Session) and session.autoflush:
            session.flush()  # who changes a row first, publishes first: that gives a key its order
        connection = session if isinstance(session, Connection) else session.connection({"clause": self.intents})
        check_transactional(connection)
        if event_id is None:
            connection.execute(insert(self.intents).values(self._values(row)))
        else:
            self._publish_once(connection, row)
        return row.intent

    def create_tables(self, engine: Engine) -> None:
        """Makes the two tables where they are missing; a portal with migrations of its own does not need this."""
        self.metadata.create_all(engine, tables=[self.intents, self.relays])

    def table(self, engine: Engine) -> IntentTable:
        """The committed intents, for whoever looks or decides: `counts`, `parked`, `redrive`, `discard`."""
        quote = engine.dialect.identifier_preparer.format_table
        return IntentTable(
            EngineTransactions(engine),
            self._writer.agency,
            self._writer.portal,
            intents=quote(self.intents),
            relays=quote(self.relays),
        )

    def relay(
        self,
        engine: Engine,
        *,
        outbox: Path | str,
        verdicts: bool = True,
        on_verdict: Callable[[Verdict], None] | None = None,
        **options: Any,
    ) -> IntentRelay:
        """A relay for the intents of this portal; arguments are those of `IntentRelay` and `Portal`."""
        return IntentRelay(self.table(engine), outbox=outbox, verdicts=verdicts, on_verdict=on_verdict, **options)

    def relay_from_env(self, engine: Engine, **overrides: Any) -> IntentRelay:
        """A relay to the bus that the environment describes, as `Portal.from_env`. Raises ValueError for what lacks."""
        given = {"agency": self._writer.agency, "portal": self._writer.portal, **overrides}
        options = {**settings_from_env(given=given), **given}
        del options["agency"], options["portal"]
        return self.relay(engine, **options)

    def _publish_once(self, connection: Connection, row: IntentRow) -> None:
        """Without an error that would end the portal's transaction (PostgreSQL), and without a savepoint."""
        connection.execute(self._insert_if_new(known_dialect(connection.dialect.name)).values(self._values(row)))
        columns = self.intents.c
        stored = select(columns.event_type, columns.body).where(
            columns.event_id == row.event_id, columns.source == row.source
        )
        found = connection.execute(stored.with_for_update(read=True)).first()  # the newest, not that of a snapshot
        if found is None or not row.means_the_same(*found):
            raise id_reused()

    def _insert_if_new(self, dialect: str) -> Insert:
        if dialect == MYSQL:
            return insert(self.intents).prefix_with("IGNORE")
        made = postgresql.insert(self.intents) if dialect == POSTGRESQL else sqlite.insert(self.intents)
        return made.on_conflict_do_nothing(index_elements=[self.intents.c.event_id])

    @staticmethod
    def _values(row: IntentRow) -> dict[str, Any]:
        return {**row._asdict(), "state": "waiting", "changed_at": row.created_at}
