"""Quix Streams: one sink for all lanes, which gets about 1,000 records of a lane at a time and upserts them."""

from common import BOOTSTRAP, GROUP, LANES, connect, read, upsert, writers
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

allowed, connection = writers(), connect()


class Store(BatchingSink):
    """Writes a batch with one statement."""

    def write(self, batch: SinkBatch) -> None:
        """Upserts and commits; Quix Streams commits the offsets after it."""
        upsert(connection, [item.value for item in batch])


app = Application(
    BOOTSTRAP,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    commit_every=1_000 * len(LANES),
    commit_interval=1.0,
    auto_create_topics=False,
    use_changelog_topics=False,
    loglevel="ERROR",
)
store = Store()
for lane in LANES:
    app.dataframe(app.topic(lane, value_deserializer="bytes")).apply(lambda value: read(value, allowed)).sink(store)

if __name__ == "__main__":
    app.run()
