"""The least that can stand between HTTP and a lane: Starlette hands each body to confluent-kafka.

Nothing is checked, numbered, stored, or asked for a key. With WAIT=1 it answers when the broker has acknowledged, as
the gateway does; otherwise at once, whatever becomes of the record.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager

import uvicorn
from confluent_kafka import Producer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TOPIC = os.environ["TOPIC"]
WAIT = os.environ.get("WAIT") == "1"
producer = Producer(
    {
        "bootstrap.servers": os.environ["BOOTSTRAP"],
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 1,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
    }
)


async def publish(request: Request) -> Response:
    body = await request.body()
    if not WAIT:
        producer.produce(TOPIC, body, b"H26")
        return Response(status_code=202)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    producer.produce(
        TOPIC,
        body,
        b"H26",
        on_delivery=lambda error, _: loop.call_soon_threadsafe(done.set_result, error),
    )
    return Response(status_code=503 if await done else 202)


@asynccontextmanager
async def lifespan(_app: Starlette):
    ended = threading.Event()

    def poll() -> None:
        while not ended.is_set():
            producer.poll(0.05)

    thread = threading.Thread(target=poll)
    thread.start()
    yield
    ended.set()
    thread.join()
    producer.flush(10)


app = Starlette(routes=[Route("/v1/events", publish, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), http="h11", access_log=False, log_level="warning")
