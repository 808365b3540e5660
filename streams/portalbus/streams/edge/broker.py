"""Waiting for Kafka at start-up."""

from __future__ import annotations

import asyncio

import structlog

from portalbus.schemas.kafka_settings import brokers_in

log = structlog.get_logger(__name__)

_TRY_EVERY = 1.0
_TRY_FOR = 5.0


async def wait_for_broker(bootstrap_servers: str) -> None:
    """Wait until one of the brokers accepts a connection, for as long as it takes.

    Faust gives up at the first refusal, in a thread that then cannot be stopped; a worker that is started together
    with its broker had better be patient.
    """
    while not await _any_answers(bootstrap_servers):
        log.warning("edge.broker-away", bootstrap_servers=bootstrap_servers)
        await asyncio.sleep(_TRY_EVERY)


async def _any_answers(bootstrap_servers: str) -> bool:
    for host, port in brokers_in(bootstrap_servers):
        try:
            async with asyncio.timeout(_TRY_FOR):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            continue
        writer.close()
        return True
    return False
