"""The hand-written loop: confluent-kafka, batches of 1,000, one upsert a batch, offsets committed after it."""

from common import BOOTSTRAP, GROUP, LANES, SESSION_S, connect, read, upsert, writers
from confluent_kafka import Consumer

allowed, connection = writers(), connect()
consumer = Consumer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": SESSION_S * 1_000,
    }
)
consumer.subscribe(LANES)
while True:
    messages = [message for message in consumer.consume(1_000, 0.1) if message.error() is None]
    if messages:
        upsert(connection, [read(message.value(), allowed) for message in messages])
        consumer.commit(asynchronous=False)
