"""Quix Streams: its batching sink, writing the same upsert."""

from common import BOOTSTRAP, GROUP, LANES, connect, read, upsert, writers
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

allowed, connection = writers(), connect()


class Upsert(BatchingSink):
    """One upsert for each batch of a partition."""

    def write(self, batch: SinkBatch) -> None:
        upsert(connection, [read(item.value, allowed) for item in batch])


app = Application(
    broker_address=BOOTSTRAP, consumer_group=GROUP, auto_offset_reset="earliest", commit_every=1_000, loglevel="ERROR"
)
sink = Upsert()
for lane in LANES:
    app.dataframe(app.topic(lane, value_deserializer="bytes", key_deserializer="bytes")).sink(sink)
app.run()
