"""kill -9 at any instant: what was acknowledged is stored, and sequences have no hole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from portalbus.producers import Bounds
from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import id_text
from seeds import fresh_seed

SUPPORT = Path(__file__).parents[1] / "support"
KILLS = 24


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    chance = random.Random(fresh_seed("kills of a publishing process"))
    for kill in range(KILLS):
        lines = publish_until_killed(tmp_path, first=kill * 100_000, chance=chance)
        for line in lines:
            sequence, event_id, _ = line.split()
            assert int(sequence) not in acknowledged, f"kill {kill}: sequence {sequence} was given twice"
            acknowledged[int(sequence)] = event_id
        outbox = Outbox(tmp_path, "H26", "killed", Bounds())
        outbox.open()
        last = outbox.source_row().last_sequence
        stored = {row.sequence: id_text(row.event_id) for row in outbox.events(1, last)}
        assert list(stored) == list(range(1, last + 1)), f"kill {kill}: a hole"
        assert acknowledged.items() <= stored.items(), f"kill {kill}: lost"
        outbox.close()
    print(f"{KILLS} kills: {len(acknowledged)} acknowledged, {last} stored, 0 lost, 0 holes")


def publish_until_killed(folder: Path, first: int, chance: random.Random) -> list[str]:
    """The receipts that a publishing process printed before it was killed, shortly after its first one."""
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "publishing_process.py"), str(folder), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    timer = threading.Timer(chance.uniform(0, 0.12), process.send_signal, (signal.SIGKILL,))
    timer.start()
    lines += process.stdout.readlines()
    assert process.wait(10) == -signal.SIGKILL
    timer.join()
    # The kill may have cut the last line.
    return [line for line in lines if line.endswith("\n") and len(line.split()) == 3]
