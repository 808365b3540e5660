"""A full disk: publishing is refused in plain words, nothing acknowledged is lost, and it heals when space returns."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal_events import feedback
from portalbus.producers import Bounds, OutboxFull, Portal, Receipt
from portalbus.producers.outbox import Outbox
from small_disks import mount_small_disk

NO_RESERVE = Bounds(free_disk=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB, where this user may mount one."""
    mount_small_disk(tmp_path, 8)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_refuses_and_heals(small_disk: Path) -> None:
    portal = Portal("H26", outbox=small_disk / "outbox", deliver=False, bounds=NO_RESERVE)
    acknowledged: list[Receipt] = []
    with pytest.raises(OutboxFull, match=r"no space left .* nothing was stored"):
        while True:
            acknowledged.append(portal.publish(feedback(len(acknowledged), "Đèn đường hỏng. " * 200)))
    assert len(acknowledged) > 100
    portal.close()

    again = Portal("H26", outbox=small_disk / "outbox", deliver=False, bounds=NO_RESERVE)
    assert again.status().undelivered == len(acknowledged), "a start on the full disk works"
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    acknowledged.append(again.publish(feedback(0)))
    rows = Outbox(small_disk / "outbox", "H26", "www", NO_RESERVE).events(1, 10**6)
    assert [row.sequence for row in rows] == [receipt.sequence for receipt in acknowledged]
    again.close()
