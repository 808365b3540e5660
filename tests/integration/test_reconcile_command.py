"""`portalbus reconcile` waits for its turn, and says so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from portalbus.infra.stack import Endpoints
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus_command import COMMAND
from whole_bus import Bus


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield bus
    bus.close()


def test_a_command_that_waits_for_another_comparison_says_so_and_goes_on_when_it_ends(bus: Bus) -> None:
    with psycopg.connect(bus.database_url, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (AdvisoryLock.RECONCILIATION.value,))
        command = subprocess.Popen(
            [*COMMAND, "reconcile"], env=bus.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert command.stderr is not None
            assert "another comparison is at work" in command.stderr.readline()
            assert command.poll() is None, "it waits"
            other.execute("select pg_advisory_unlock(%s)", (AdvisoryLock.RECONCILIATION.value,))
            said, _ = command.communicate(timeout=60)
        finally:
            command.kill()
    assert command.returncode == 0
    assert "the central store is what the portals published" in said
