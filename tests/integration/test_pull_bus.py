"""A pulled portal on the real bus: what stands on its site is in the ledger once, whoever is killed when."""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ledger_facts import assert_sound, rows
from local_site import LocalSite, notice, rss
from portalbus.infra.stack import Endpoints
from pulled_portal import written
from whole_bus import Bus

XML = "application/rss+xml; charset=utf-8"
TGKILL = {"x86_64": 234, "aarch64": 131}.get(platform.machine(), 0)
"""The number of the system call that sends a signal to one thread of another process."""
WITHDRAWING = {"after": "1s", "ask_every": "1s"}


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield bus
    bus.close()


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def connect(bus: Bus, config: Path) -> subprocess.Popen[bytes]:
    """`portalbus connect run` as a process."""
    with (bus.folder / "connect.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "portalbus.infra.cli", "connect", "run", str(config)],
            env={
                **os.environ,
                "PORTALBUS_BOOTSTRAP": bus.endpoints.bootstrap,
                "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
            },
            stdout=log,
            stderr=log,
        )


def put(site: LocalSite, versions: dict[int, int], listed: list[int] | None = None) -> None:
    for number in versions:
        site.put(f"/tin/{number}", f"<h1>{number}</h1>")
    items = [
        notice(site, number, f"Nội dung lần thứ {versions[number]} của tin {number}.")
        for number in (versions if listed is None else listed)
    ]
    site.put("/rss", rss(items), XML)


def shown(bus: Bus) -> dict[str, tuple[int, bool]]:
    """Version, and whether it is withdrawn, of each directive by its address."""
    found = rows(
        bus.look,
        "select v.document->>'canonical_url', d.version, d.withdrawn from ledger.directive d"
        " join ledger.directive_version v using (key, version)",
    )
    return {address.rpartition("/")[2]: (version, withdrawn) for address, version, withdrawn in found}


def test_an_item_of_a_feed_lives_and_ends_as_a_directive_in_the_ledger(bus: Bus, site: LocalSite) -> None:
    put(site, {1: 1, 2: 1, 3: 1})
    entry: dict[str, Any] = {"kind": "feed", "address": site.url + "/rss", "every": "1s", "withdrawing": WITHDRAWING}
    config = written(bus.folder / "pull", entry)
    bus.start_worker()
    process = connect(bus, config)
    try:
        bus.wait_until(lambda: shown(bus) == {"1": (1, False), "2": (1, False), "3": (1, False)}, "the publications")
        put(site, {1: 1, 2: 2, 3: 1})
        bus.wait_until(lambda: shown(bus).get("2") == (2, False), "the revision")
        del site.pages["/tin/3"]
        put(site, {1: 1, 2: 2})
        bus.wait_until(lambda: shown(bus).get("3") == (2, True), "the withdrawal")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (bus.folder / "connect.log").read_text()[-3_000:]
    assert_sound(bus.look)
    assert statuses(bus) == {"ACCEPTED"}


@pytest.mark.skipif(not TGKILL, reason="the number of tgkill is not known for this machine")
def test_a_signal_that_wakes_nobody_ends_it_all_the_same(bus: Bus, site: LocalSite) -> None:
    """The system may give a signal to any thread; the one that acts on it sleeps until the next portal is due."""
    put(site, {1: 1})
    process = connect(bus, written(bus.folder / "pull", {"kind": "feed", "address": site.url + "/rss", "every": "1h"}))
    log = bus.folder / "connect.log"
    bus.wait_until(lambda: "connect.published" in log.read_text(), "a pass")
    other = next(thread.id for thread in psutil.Process(process.pid).threads() if thread.id != process.pid)
    assert ctypes.CDLL(None).syscall(TGKILL, process.pid, other, int(signal.SIGTERM)) == 0
    assert process.wait(20) == 0, log.read_text()[-3_000:]


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.chaos)])
def test_kill_9_at_any_moment_loses_and_doubles_nothing(kills: int, bus: Bus, site: LocalSite) -> None:
    entry: dict[str, Any] = {"kind": "feed", "address": site.url + "/rss", "every": "1s", "withdrawing": WITHDRAWING}
    config = written(bus.folder / "pull", entry)
    bus.start_worker()
    dice = random.Random(20261120)
    versions = dict.fromkeys(range(1, 31), 1)
    put(site, versions)
    for _ in range(kills):
        process = connect(bus, config)
        asked = len(site.asked)
        deadline = time.monotonic() + 30
        while len(site.asked) == asked:  # it has begun to read
            assert time.monotonic() < deadline, (bus.folder / "connect.log").read_text()[-3_000:]
            time.sleep(0.002)
        end = time.monotonic() + dice.uniform(0, 0.12)
        while time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
        process.wait()
        for number in dice.sample(sorted(versions), 10):
            versions[number] += 1
        put(site, versions)
    process = connect(bus, config)
    try:
        text = {number: f"Nội dung lần thứ {version} của tin {number}." for number, version in versions.items()}
        bus.wait_until(lambda: bodies(bus) == text, "the newest content of every item")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert_sound(bus.look)
    # What a killed process had sent without hearing of it, its outbox sends again: a duplicate, no second event.
    assert statuses(bus) <= {"ACCEPTED", "DUPLICATE"}
    told = [[text for _, text in group] for _, group in itertools.groupby(history(bus), key=lambda row: row[0])]
    assert len(told) == len(versions)
    assert all(before != after for texts in told for before, after in itertools.pairwise(texts))


def statuses(bus: Bus) -> set[str]:
    return {status for (status,) in rows(bus.look, "select distinct status from ledger.event")}


def history(bus: Bus) -> list[tuple[Any, ...]]:
    """Key and text of every version, in order."""
    return rows(bus.look, "select key, document->>'body' from ledger.directive_version order by key, version")


def bodies(bus: Bus) -> dict[int, str]:
    found = rows(
        bus.look,
        "select v.document->>'canonical_url', v.document->>'body' from ledger.directive d"
        " join ledger.directive_version v using (key, version)",
    )
    return {int(address.rpartition("/")[2]): body for address, body in found}
