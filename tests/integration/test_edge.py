"""The Faust edge against a real Kafka: positions, back-pressure, takeover, stopping, and refusing to guess."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from portalbus.infra.stack import Endpoints
from portalbus.infra.stack.containers import RunningStack

SESSION_TIMEOUT = 6.0  # the broker's minimum
BIG = 250_000


LEDGER = """
CREATE TABLE lane (lane TEXT PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE applied (lane TEXT, record INTEGER, worker INTEGER, epoch INTEGER, at REAL);
CREATE TABLE fenced (lane TEXT, record INTEGER, worker INTEGER);
CREATE TABLE lanes (lane TEXT PRIMARY KEY);
"""


class EdgeRun:
    """One test's lanes, ledger and workers."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.group = f"edge-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self.ledger = sqlite3.connect(folder / "ledger.sqlite", timeout=30, isolation_level=None)
        self.ledger.execute("PRAGMA journal_mode=WAL")
        self.ledger.executescript(LEDGER)
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.workers: list[subprocess.Popen[bytes]] = []
        self.lanes: list[str] = []

    def add_lanes(self, count: int) -> list[str]:
        """Create topics and enter them in the directory of lanes."""
        lanes = [f"lane.{self.group}-{len(self.lanes) + i}" for i in range(count)]
        for created in self.admin.create_topics([NewTopic(lane, 1, 1) for lane in lanes]).values():
            created.result(30)
        self.ledger.executemany("INSERT INTO lanes VALUES (?)", [(lane,) for lane in lanes])
        self.lanes += lanes
        return lanes

    def publish(self, *lanes: str, count: int, value: bytes = b"event", transaction: str | None = None) -> None:
        """Publish so many records in each lane and wait until the broker has them."""
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "enable.idempotence": True}
        if transaction:
            config["transactional.id"] = transaction
        producer = Producer(config)
        if transaction:
            producer.init_transactions(30)
            producer.begin_transaction()
        for number in range(count):
            for lane in lanes:
                producer.produce(lane, value, key=str(number).encode())
                if len(producer) * len(value) > 20_000_000:
                    producer.flush(60)
        if transaction:
            producer.commit_transaction(30)
        assert producer.flush(60) == 0

    def set_position(self, lane: str, offset: int) -> None:
        """Write the ledger's next offset, as an operator would."""
        self.ledger.execute("INSERT OR REPLACE INTO lane VALUES (?,?)", (lane, offset))

    def commit_as_the_group(self, lane: str, offset: int) -> None:
        """Commit an offset as a member of the workers' group would."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group})
        consumer.commit(offsets=[TopicPartition(lane, 0, offset)], asynchronous=False)
        (committed,) = consumer.committed([TopicPartition(lane, 0)], 10)
        consumer.close()
        assert committed.offset == offset

    def start(self, *, settings: dict[str, Any] | None = None, **config: Any) -> subprocess.Popen[bytes]:
        """Start a worker."""
        edge = {
            "bootstrap_servers": self.bootstrap,
            "group": self.group,
            "session_timeout": SESSION_TIMEOUT,
            "heartbeat_interval": 0.5,
            "group_commit_interval": 0.2,
            "lanes_refresh_interval": 0.5,
            "ends_refresh_interval": 0.5,
            **(settings or {}),
        }
        config = {"ledger": str(self.folder / "ledger.sqlite"), "settings": edge, **config}
        with self.log_path(len(self.workers)).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("edge_process.py")), json.dumps(config)],
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def log_path(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def log(self, worker: subprocess.Popen[bytes]) -> str:
        """Return everything a worker has logged."""
        return self.log_path(self.workers.index(worker)).read_text(errors="replace")

    def batches(self, worker: subprocess.Popen[bytes], step: str) -> int:
        """Return how many batches a worker's handler ``took`` or ``applied``."""
        return self.log(worker).count(f"test.{step}")

    def fail_stop_reason(self, worker: subprocess.Popen[bytes], within: float = 30) -> str:
        """Wait for a worker to stop itself and return why it did."""
        assert worker.wait(within) == 70, self.log(worker)
        for line in self.log(worker).splitlines():
            if '"worker.fail-stop"' in line:
                return str(json.loads(line)["reason"])
        raise AssertionError(f"no fail-stop line in the log:\n{self.log(worker)}")

    def freeze(self, worker: subprocess.Popen[bytes]) -> None:
        """Stop a worker with SIGSTOP while it does not hold SQLite's only lock, which would freeze the others too."""
        self.ledger.execute("BEGIN IMMEDIATE")
        worker.send_signal(signal.SIGSTOP)
        self.ledger.execute("ROLLBACK")

    def applied(self) -> list[tuple[str, int]]:
        """Return the records that took effect, in the order in which they did."""
        return list(self.ledger.execute("SELECT lane, record FROM applied ORDER BY rowid"))

    def workers_since(self, rowid: int) -> dict[str, set[int]]:
        """Return which worker processes applied records of each lane after a row of the ledger."""
        seen: dict[str, set[int]] = {}
        for lane, worker in self.ledger.execute("SELECT lane, worker FROM applied WHERE rowid > ?", (rowid,)):
            seen.setdefault(lane, set()).add(worker)
        return seen

    def row(self) -> int:
        """Return the last row of the ledger."""
        return int(self.ledger.execute("SELECT coalesce(max(rowid), 0) FROM applied").fetchone()[0])

    def wait_for(self, what: str, holds: Callable[[], bool], within: float = 30) -> float:
        """Poll until something holds; return how many seconds that took."""
        start = time.monotonic()
        while not holds():
            if time.monotonic() - start > within:
                logs = "\n".join(self.log(worker)[-2_000:] for worker in self.workers)
                raise AssertionError(f"{what} did not happen within {within} s\n{logs}")
            time.sleep(0.02)
        return time.monotonic() - start

    def wait_for_lanes(self, worker: subprocess.Popen[bytes], lanes: int, within: float = 30) -> float:
        """Wait until a worker's latest assignment is of so many lanes, with positions taken."""

        def holds() -> bool:
            found = [json.loads(line) for line in self.log(worker).splitlines() if '"edge.positioned"' in line]
            return bool(found) and found[-1]["lanes"] == lanes

        return self.wait_for(f"{lanes} lanes for {worker.pid}", holds, within)

    def assert_each_exactly_once(self, counts: dict[str, int]) -> None:
        """Check that every record took effect once, in order, and nothing else did."""
        per_lane: dict[str, list[int]] = {lane: [] for lane in counts}
        for lane, record in self.applied():
            per_lane[lane].append(record)
        assert {lane: list(range(n)) for lane, n in counts.items()} == per_lane

    def close(self) -> None:
        """Stop whatever still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()
        self.ledger.close()


@pytest.fixture
def run(endpoints: Endpoints, tmp_path: Path) -> Iterator[EdgeRun]:
    run = EdgeRun(endpoints.bootstrap, tmp_path)
    yield run
    run.close()


def test_a_worker_reads_on_from_the_ledgers_offset_and_not_from_the_groups(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=100)
    run.set_position(lane, 60)
    run.commit_as_the_group(lane, 90)
    run.start()
    run.wait_for("all records", lambda: len(run.applied()) == 40)
    assert run.applied() == [(lane, offset) for offset in range(60, 100)]


def test_the_groups_offsets_follow_the_ledger_and_are_never_ahead_of_it(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=600)
    run.start(settings={"batch_max_records": 20}, seconds_per_batch=0.05)
    looks = []

    def reached_the_end() -> bool:
        wanted = ConsumerGroupTopicPartitions(run.group, [TopicPartition(lane, 0)])
        got = run.admin.list_consumer_group_offsets([wanted])[run.group].result(10)
        committed = max(0, got.topic_partitions[0].offset)
        ledger = run.ledger.execute("SELECT coalesce(max(next), 0) FROM lane").fetchone()[0]
        looks.append((committed, ledger))
        return bool(committed == 600)

    run.wait_for("the group's offset at the end", reached_the_end)
    assert all(committed <= ledger for committed, ledger in looks), looks
    assert any(0 < committed < 600 for committed, _ in looks), "the group was never told in between"


def test_two_workers_share_the_lanes_evenly_and_one_takes_over_when_the_other_is_killed(run: EdgeRun) -> None:
    lanes = run.add_lanes(8)
    first = run.start()
    run.wait_for_lanes(first, 8)
    second = run.start()
    run.wait_for_lanes(second, 4)
    run.wait_for_lanes(first, 4)
    run.publish(*lanes, count=200)
    run.wait_for("all records", lambda: len(run.applied()) == 1_600)
    assert {worker for workers in run.workers_since(0).values() for worker in workers} == {first.pid, second.pid}
    first.kill()
    run.publish(*lanes, count=50)
    run.wait_for("the takeover", lambda: len(run.applied()) == 2_000, SESSION_TIMEOUT + 10)
    run.assert_each_exactly_once(dict.fromkeys(lanes, 250))


def test_a_worker_frozen_past_its_session_comes_back_and_repeats_nothing(run: EdgeRun) -> None:
    lanes = run.add_lanes(4)
    frozen, other = run.start(seconds_per_batch=0.02), run.start(seconds_per_batch=0.02)
    run.wait_for_lanes(frozen, 2)
    run.wait_for_lanes(other, 2)
    run.publish(*lanes, count=2_000)
    run.wait_for("some records", lambda: len(run.applied()) > 100)
    run.freeze(frozen)
    run.wait_for_lanes(other, 4, SESSION_TIMEOUT + 10)
    run.publish(*lanes, count=500)
    run.wait_for("all records", lambda: len(run.applied()) == 10_000, 60)
    frozen.send_signal(signal.SIGCONT)
    run.wait_for_lanes(other, 2)
    run.wait_for_lanes(frozen, 2)
    run.publish(*lanes, count=100)
    run.wait_for("the last records", lambda: len(run.applied()) == 10_400)
    run.assert_each_exactly_once(dict.fromkeys(lanes, 2_600))
    assert frozen.poll() is None, run.log(frozen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_worker_finishes_its_batch_and_hands_its_lanes_over_at_once(
    run: EdgeRun, number: signal.Signals
) -> None:
    lanes = run.add_lanes(4)
    leaving = run.start(seconds_per_batch=2.0)
    run.wait_for_lanes(leaving, 4)
    staying = run.start()
    run.wait_for_lanes(leaving, 2)
    run.publish(*lanes, count=100)
    run.wait_for("a batch in hand", lambda: run.batches(leaving, "took") > run.batches(leaving, "applied"))
    leaving.send_signal(number)
    assert leaving.wait(10) == 0, run.log(leaving)
    assert run.batches(leaving, "took") == run.batches(leaving, "applied")
    seconds = run.wait_for_lanes(staying, 4, 5)
    assert seconds < SESSION_TIMEOUT / 2, "the lanes were only freed by the session's timeout"
    run.wait_for("all records", lambda: len(run.applied()) == 400)
    run.assert_each_exactly_once(dict.fromkeys(lanes, 100))


def test_a_worker_that_is_told_to_stop_while_it_starts_exits_cleanly(run: EdgeRun) -> None:
    run.add_lanes(1)
    worker = run.start()
    run.wait_for("the first line of the log", lambda: bool(run.log(worker)))
    worker.terminate()
    assert worker.wait(10) == 0, run.log(worker)


def test_a_worker_waits_for_a_broker_that_is_not_there_yet(run: EdgeRun) -> None:
    run.add_lanes(1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        worker = run.start(settings={"bootstrap_servers": f"127.0.0.1:{nobody.getsockname()[1]}"})
        run.wait_for("a word about it", lambda: run.log(worker).count("edge.broker-away") >= 2)
        worker.terminate()
        assert worker.wait(10) == 0, run.log(worker)
        assert "Traceback" not in run.log(worker)


def test_a_backlog_of_large_events_does_not_fill_the_memory(run: EdgeRun) -> None:
    lanes = run.add_lanes(50)
    run.publish(*lanes, count=20, value=os.urandom(BIG))
    worker = run.start(seconds_per_batch=0.2)
    run.wait_for("all records", lambda: len(run.applied()) == 1_000, 60)
    peak = peak_memory(worker.pid)
    assert peak <= 200_000_000, f"{peak / 1e6:.0f} MB for a backlog of {1_000 * BIG / 1e6:.0f} MB"


def peak_memory(pid: int) -> int:
    """Return the largest resident size a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def test_events_that_expired_unread_stop_the_worker(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=100)
    run.set_position(lane, 10)
    run.admin.delete_records([TopicPartition(lane, 0, 50)])[TopicPartition(lane, 0)].result(10)
    worker = run.start()
    assert "expired before the ledger read them" in run.fail_stop_reason(worker)
    assert run.applied() == []


def test_a_lane_that_ends_before_the_ledgers_offset_stops_the_worker(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=10)
    run.set_position(lane, 100)
    worker = run.start()
    assert "deleted and created again" in run.fail_stop_reason(worker)
    assert run.applied() == []


def test_a_hole_in_a_lane_stops_the_worker(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=5, transaction=run.group)  # its commit marker takes an offset
    run.publish(lane, count=5)
    worker = run.start()
    assert "have a hole" in run.fail_stop_reason(worker)
    assert run.applied() == [(lane, offset) for offset in range(5)]


def test_a_lane_with_two_partitions_stops_the_worker(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.admin.create_partitions([NewPartitions(lane, 2)])[lane].result(10)
    run.wait_for("two partitions", lambda: len(run.admin.list_topics(lane, 10).topics[lane].partitions) == 2)
    worker = run.start()
    assert "more than one partition" in run.fail_stop_reason(worker)


def test_a_new_lane_is_read_without_a_restart(run: EdgeRun) -> None:
    (old,) = run.add_lanes(1)
    worker = run.start()
    run.wait_for_lanes(worker, 1)
    (new,) = run.add_lanes(1)
    run.publish(new, count=10)
    run.publish(old, count=10)
    run.wait_for("both lanes", lambda: len(run.applied()) == 20)
    run.assert_each_exactly_once({old: 10, new: 10})
    assert worker.poll() is None


def test_a_handler_that_raises_ends_the_worker_and_its_log_quotes_no_event(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=10, value=b"Nguyen Van Canary, 0123456789")
    worker = run.start(raise_with_payload=True)
    assert "handler of a batch raised" in run.fail_stop_reason(worker)
    assert "Canary" not in run.log(worker)
    assert run.applied() == []


def test_a_worker_whose_event_loop_is_stuck_is_ended(run: EdgeRun) -> None:
    (lane,) = run.add_lanes(1)
    run.publish(lane, count=10)
    worker = run.start(block_the_loop=True, patience=3.0)
    assert "has stalled" in run.fail_stop_reason(worker)


def test_a_worker_outlives_a_broker_that_is_killed(run: EdgeRun, stack: RunningStack) -> None:
    lanes = run.add_lanes(2)
    worker = run.start()
    run.publish(*lanes, count=100)
    run.wait_for("the records before", lambda: len(run.applied()) == 200)
    stack.kafka.kill()
    stack.kafka.start()
    run.publish(*lanes, count=100)
    run.wait_for("the records after", lambda: len(run.applied()) == 400, 60)
    run.assert_each_exactly_once(dict.fromkeys(lanes, 200))
    assert worker.poll() is None, run.log(worker)
