"""Apache Kafka, one node that is broker and controller at once (KRaft)."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.java import java
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import LOOPBACK, is_free
from portalbus.infra.stack.process import Command, Service, spawn
from portalbus.infra.stack.quick_start import QuickStart
from portalbus.schemas.kafka_settings import librdkafka_settings

HEAP_MB = (64, 320)

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    # One node, so one copy of everything.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # Lanes are made on purpose, keep their events for ever, and carry the broker's time.
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "log.retention.ms": "-1",
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": "1114112",  # 1 MiB of value, and room for key, headers and the batch around them
    "replica.fetch.max.bytes": "1114112",
    # A group of one machine need not wait for members that are still starting.
    "group.initial.rebalance.delay.ms": "0",
    # After kill -9 the controller refuses the broker's return until its old session is over (default 9 s).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # Small: two cores, some two hundred partitions.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",  # the default is 128 MB of heap
    "log.segment.bytes": "134217728",
    "log.index.size.max.bytes": "1048576",
}

LOGGING = """\
<Configuration status="WARN"><Appenders>
  <Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console>
</Appenders><Loggers>
  <Root level="WARN"><AppenderRef ref="out"/></Root>
  <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
</Loggers></Configuration>
"""


def answers(bootstrap: str) -> bool:
    """Ask the broker at `host:port` for its metadata, for two seconds at most."""
    client = AdminClient(librdkafka_settings(bootstrap, {}) | {"log_level": 0})
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


class Kafka(Service):
    """The broker; `jars` gives its class path, and is asked only when the JVM is about to start."""

    name = "Kafka"
    dump_signal = signal.SIGQUIT
    stop_patience_s = 30.0  # once on a machine it takes some seconds to write down what it has loaded

    def __init__(
        self,
        state: StateFolder,
        port: int,
        controller_port: int,
        jars: Callable[[], list[Path]],
        quick_start: QuickStart,
    ) -> None:
        super().__init__(state.logs / "kafka.log", state.run / "kafka.pid")
        self.port = port
        self.controller_port = controller_port
        self.ports = (port, controller_port)
        self.data = state.kafka_data
        self._run = state.run
        self._scratch = state.scratch
        self._jars = jars
        self._quick_start = quick_start

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def _write_settings(self, data: Path) -> Path:
        listeners = f"BROKER://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self.controller_port}"
        settings = {
            **SETTINGS,
            "listeners": listeners,
            "advertised.listeners": f"BROKER://{self.bootstrap}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "log.dirs": str(data),
        }
        path = self._run / "kafka.properties"
        # Java reads such files as Latin-1 with \uXXXX escapes, which are JSON's: the path may be Vietnamese.
        path.write_text("".join(f"{name}={json.dumps(value)[1:-1]}\n" for name, value in settings.items()))
        return path

    def _java(self, main: str, *arguments: str, learn: bool = False) -> Command:
        logging = self._run / "kafka-log4j2.xml"
        logging.write_text(LOGGING)
        jars = self._jars()
        program = ("-cp", ":".join(map(str, jars)))
        self._scratch.mkdir(exist_ok=True)
        argv = (
            *java(HEAP_MB, self._scratch),
            *self._quick_start.options(program, jars, learn=learn),
            f"-Dlog4j2.configurationFile={logging}",
            *(*program, main, *arguments),
        )
        return Command(argv, marker=str(self._run))

    def command(self) -> Command:
        return self._java("kafka.Kafka", str(self._write_settings(self.data)), learn=True)

    def prepare(self) -> None:
        """Format the data folder beside its place and move it there whole."""
        if self.data.exists():
            return
        fresh = self.data.with_name("kafka.new")
        shutil.rmtree(fresh, ignore_errors=True)
        settings = str(self._write_settings(fresh))
        tool = self._java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id()}", "-c", settings)
        if spawn(tool, self.log).wait(timeout=60) != 0:
            raise StackError(f"Kafka could not make its data folder {fresh}", f"read {self.log}")
        fresh.rename(self.data)

    def is_ready(self) -> bool:
        return not is_free(self.port) and answers(self.bootstrap)


def cluster_id() -> str:
    """A new id as Kafka makes them: 16 bytes in base64 for URLs, never with a dash in front, which tools take for an
    option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
