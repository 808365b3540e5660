"""Processes that wait for a broker which is away end when they are told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from central_process import free_port
from portalbus.schemas import avro_files

REGISTRY = "http://127.0.0.1:9"
STARTS_WITHIN_S, STOPS_WITHIN_S = 60.0, 20.0


def remembered(cache: Path) -> None:
    """The ids of the contracts, as a process that once reached the registry remembers them."""
    files = [file for name in avro_files.LANE_TYPES for file in avro_files.history(name)]
    places = [f"{REGISTRY} {file.subject} {sha256(file.text.encode()).hexdigest()}" for file in files]
    cache.write_text(json.dumps({place: number for number, place in enumerate(places, 1)}))


@pytest.mark.parametrize("program", ["worker", "warning_process"])
def test_a_process_that_waits_for_kafka_stops_when_it_is_told_to(program: str, ledger_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    remembered(tmp_path / "ids.json")
    command = [sys.executable, "-m", f"portalbus.streams.{program}", "--database-url", ledger_url]
    command += ["--bootstrap", f"127.0.0.1:{free_port()}", "--registry-url", REGISTRY]
    command += ["--cache", str(tmp_path / "ids.json")]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ)
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while "edge.broker-away" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
