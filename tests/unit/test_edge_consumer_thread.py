"""The thread of the consumer ends, whatever aiokafka does when it is stopped."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers import aiokafka as driver

from portalbus.streams.edge.consumer_thread import LaneConsumerThread


@pytest.mark.parametrize("error", [asyncio.CancelledError, KafkaConnectionError])
def test_a_consumer_that_does_not_stop_well_holds_up_nobody(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stops_badly(_self: object) -> None:
        raise error

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_thread_stop", stops_badly)
    thread = LaneConsumerThread.__new__(LaneConsumerThread)
    asyncio.run(thread.on_thread_stop())
