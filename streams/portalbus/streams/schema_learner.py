"""Learning schemas while the worker runs, and judging again what was parked for want of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg
import structlog

from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.registration import LaneSchemas
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.database import WORKER_OPTIONS, KeptConnection
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.parking.deciding import Parking
from portalbus.streams.parking.readable import WHO, Readable, readable_now
from portalbus.streams.schema_waiting import look_for_schemas

log = structlog.get_logger(__name__)

LEARN_EVERY_SECONDS = 2.0
MOST = 500
"""Records that are read and decided before the worker may end."""


class SchemaLearner:
    """Asks the registry for shipped versions that it did not hold, and redrives what was parked because of that.

    The registry is asked only while one is missing. The ledger is looked at always, by an index: another worker may
    have parked what this one can read. Several workers may do so at once, for a record is decided once. Has a
    connection and a thread of its own, so that the intake never waits for it. A registry or database that is away ends
    one look.
    """

    def __init__(
        self,
        schemas: LaneSchemas,
        database_url: str,
        directory: AgencyDirectory,
        bounds: Bounds,
        clock: Callable[[], datetime],
    ) -> None:
        self._schemas = schemas
        self._directory = directory
        self._bounds = bounds
        self._clock = clock
        self._kept = KeptConnection(database_url, application="schemas", options=WORKER_OPTIONS)
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "schemas")

    async def look(self) -> None:
        """Looks once, in a thread of its own."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.look_now)

    def look_now(self) -> None:
        """Learns what is registered now, then judges again what can be read now."""
        look_for_schemas(self._schemas)
        try:
            while not self._stopping.is_set() and (found := readable_now(self._kept.open(), self._schemas.known, MOST)):
                self._redrive(found)
        except psycopg.Error as error:
            log.warning("parked.not-redriven", error=type(error).__name__, sqlstate=error.sqlstate)
            self.disconnect()

    async def close(self) -> None:
        """Ends the look under way behind the portion that it has in hand, and closes the connection."""
        self._stopping.set()
        await asyncio.get_running_loop().run_in_executor(self._thread, self.disconnect)
        self._thread.shutdown(wait=False)

    def _redrive(self, found: Sequence[Readable]) -> None:
        writers = self._schemas.writers
        with Decoder(writers) as decoder:  # nobody has read them yet: they may kill who does
            parking = Parking(self._kept.open(), writers, self._directory, self._bounds, self._clock, decoder)
            outcomes = list(parking.redrive([record.place for record in found], Decider(WHO, self._why(found))))
        still_parked = sum(outcome.parked for outcome in outcomes)
        log.info("parked.redriven", records=len(outcomes) - still_parked, still_parked=still_parked)

    def _why(self, found: Sequence[Readable]) -> str:
        ids = sorted({record.schema_id for record in found})
        files = [(schema_id, self._schemas.known[schema_id]) for schema_id in ids]
        named = ", ".join(f"{schema_id} is {file.name} {file.version}" for schema_id, file in files)
        return f"its schema id was unknown when it came; now {named}"

    def disconnect(self) -> None:
        """Closes the connection; the next look opens another one."""
        self._kept.close()
