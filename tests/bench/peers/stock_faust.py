"""Stock Faust: an agent that takes 1,000 at a time and upserts them."""

import asyncio

import faust
from common import BOOTSTRAP, GROUP, LANES, SESSION_S, connect, read, upsert, writers

allowed, connection = writers(), connect()
app = faust.App(
    GROUP,
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    value_serializer="raw",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    broker_session_timeout=SESSION_S,
    consumer_auto_offset_reset="earliest",
)
lanes = app.topic(*LANES, value_type=bytes)


@app.agent(lanes)
async def keep(stream):  # type: ignore[no-untyped-def]
    async for values in stream.take(1_000, within=0.1):
        upsert(connection, [read(value, allowed) for value in values])


if __name__ == "__main__":
    worker = faust.Worker(app, loop=asyncio.new_event_loop(), loglevel="ERROR")
    worker.execute_from_commandline()
