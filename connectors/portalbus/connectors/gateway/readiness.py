"""Can the gateway take events now?"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from portalbus.connectors.gateway.settings import Settings
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import RELAY_POSITION

TIMEOUT_S = 2.0
KEEP_S = 1.0

logging.getLogger("portalbus.librdkafka").addHandler(logging.NullHandler())


class Readiness:
    """Asks the broker whether it is there, at most once a second however often it is asked itself."""

    def __init__(self, settings: Settings) -> None:
        self._config = librdkafka_settings(settings.bootstrap, settings.kafka)
        self._thread = ThreadPoolExecutor(1, "gateway-readiness")
        self._admin: AdminClient | None = None
        self._trouble = ""
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def trouble(self) -> str:
        """What is in the way, empty when nothing is."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._trouble = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
                self._until = time.monotonic() + KEEP_S
            return self._trouble

    def close(self) -> None:
        """Ends its thread."""
        self._thread.shutdown(wait=False)

    def _look(self) -> str:
        try:
            if self._admin is None:
                self._admin = AdminClient(self._config, logger=logging.getLogger("portalbus.librdkafka"))
            self._admin.list_topics(RELAY_POSITION, timeout=TIMEOUT_S)
        except KafkaException as error:
            return f"Kafka does not answer ({error.args[0].name()})"
        return ""
