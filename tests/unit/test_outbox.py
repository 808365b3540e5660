"""The outbox under threads, processes and forks: sequences without a hole, each event once."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portal_events import feedback
from portalbus.producers import Bounds, OutboxUnavailable, Portal, Receipt
from portalbus.producers.group_commit import GroupCommit, Request
from portalbus.producers.outbox import Outbox

SUPPORT = Path(__file__).parents[1] / "support"


def outbox_in(folder: Path, portal: str = "www") -> Outbox:
    return Outbox(folder, "H26", portal, Bounds())


def test_threads_share_commits_and_get_contiguous_sequences(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False)
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda number: portal.publish(feedback(number)), range(800)))
    assert sorted(receipt.sequence for receipt in receipts) == list(range(1, 801))
    stored = {row.sequence: row.key for row in outbox_in(tmp_path).events(1, 800)}
    assert stored == {receipt.sequence: receipt.key for receipt in receipts}


def test_processes_share_an_outbox(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from portal_events import feedback; from portalbus.producers import Portal\n"
        "portal = Portal('H26', outbox=Path(sys.argv[1]), deliver=False)\n"
        "for number in range(100): print(portal.publish(feedback(int(sys.argv[2]) + number)).sequence)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for first in (0, 1000, 2000)
    ]
    sequences = [int(line) for process in running for line in process.communicate(timeout=60)[0].split()]
    assert sorted(sequences) == list(range(1, 301))
    assert outbox_in(tmp_path).source_row().last_sequence == 300


def test_a_portal_used_before_a_fork_works_on_both_sides(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False)
    portal.publish(feedback(0))
    children = []
    for child in range(1, 4):
        if (pid := os.fork()) == 0:
            status = 1
            try:
                for number in range(50):
                    portal.publish(feedback(child * 1000 + number))
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
        portal.publish(feedback(child))
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    rows = outbox_in(tmp_path).events(1, 1000)
    assert [row.sequence for row in rows] == list(range(1, 155))
    assert len({row.key for row in rows}) == 154


def test_a_fork_behind_pythons_back_is_refused_rather_than_risked(tmp_path: Path) -> None:
    """uWSGI forks in C: Python's hooks, which close the file before, do not run."""
    used = Portal("H26", "used", outbox=tmp_path, deliver=False)
    used.publish(feedback(1))
    unused = Portal("H26", "unused", outbox=tmp_path, deliver=False)
    if (pid := ctypes.PyDLL(None).fork()) == 0:
        status = 1
        try:
            unused.publish(feedback(2))
            try:
                used.publish(feedback(3))
            except OutboxUnavailable as error:
                status = 0 if "lazy-apps" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    used.publish(feedback(4))
    assert [row.key for row in outbox_in(tmp_path, "used").events(1, 9)] == ["H26-2026-000001", "H26-2026-000004"]
    assert len(outbox_in(tmp_path, "unused").events(1, 9)) == 1


def test_a_fork_while_other_threads_publish_hurts_neither(tmp_path: Path) -> None:
    portal = Portal("H26", outbox=tmp_path, deliver=False)
    enough = threading.Event()
    receipts: list[Receipt] = []

    def keep_publishing() -> None:
        while not enough.is_set():
            receipts.append(portal.publish(feedback(len(receipts))))

    threads = [threading.Thread(target=keep_publishing) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            if (pid := os.fork()) == 0:
                signal.alarm(20)
                portal.publish(feedback(999_999))
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert [row.sequence for row in outbox_in(tmp_path).events(1, 10**6)] == list(range(1, len(receipts) + 11))


def test_a_fork_waits_for_a_thread_of_the_sdk_that_imports_and_logs() -> None:
    """The child would wait for ever for the lock of a module that nobody imports there, or of the log's output."""
    program = """
import os, signal, sys, threading, time
from portalbus.producers import logs

entered = threading.Event()

class Slow:
    def find_spec(self, name, *_):
        if name == "structlog":
            entered.set()
            time.sleep(0.5)

sys.meta_path.insert(0, Slow())
threading.Thread(target=logs.info, args=(logs.DELIVERY_STARTED,)).start()
assert entered.wait(10)
if (pid := os.fork()) == 0:
    signal.alarm(10)
    logs.info(logs.DELIVERY_STARTED)
    os._exit(0)
sys.exit(os.waitpid(pid, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_an_interrupted_commit_goes_back_to_those_who_wait() -> None:
    entered, go_on = threading.Event(), threading.Event()
    groups: list[list[str]] = []

    def commit(group: list[Request[str, str]]) -> None:
        groups.append([request.work for request in group])
        if len(groups) == 1:
            entered.set()
            go_on.wait(10)
            raise KeyboardInterrupt
        for request in group:
            request.result = request.work + (" again" if request.tried else "")

    joined: GroupCommit[str, str] = GroupCommit(commit)  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(joined.submit, "a")
        assert entered.wait(10)
        second = pool.submit(joined.submit, "b")
        go_on.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(10)
        assert second.result(10) == "b"
    assert joined.submit("c") == "c"


def test_a_failed_commit_is_told_to_everyone_in_it() -> None:
    def commit(_group: object) -> None:
        raise OSError("no disk")

    joined: GroupCommit[str, str] = GroupCommit(commit)
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            joined.submit("a")
