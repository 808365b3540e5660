"""Disks that are soon full: for a test's own files, or for the data of a service of the stack."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.process import Service

BALLAST = "ballast"
BLOCK = bytes(64 * 1024)
LOOK_EVERY_SECONDS = 0.5


def mount_small_disk(at: Path, megabytes: int) -> None:
    """Mounts a disk of so many megabytes; skips the test where this user may mount none."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")


class SmallDisks:
    """Small disks for services. A context manager to enter before the services start: it unmounts after their end."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def __enter__(self) -> SmallDisks:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)

    def move(self, service: Service, data: Path, megabytes: int) -> None:
        """Stops a service, puts its data on a disk of so many megabytes, and starts it there."""
        service.stop()
        aside = data.with_name(f"{data.name}.aside")
        data.rename(aside)
        data.mkdir()
        mount_small_disk(data, megabytes)
        self._mounted.append(data)
        subprocess.run(["cp", "-a", f"{aside}/.", str(data)], check=True)
        shutil.rmtree(aside)
        service.start()


def fill(disk: Path) -> None:
    """Leaves no byte free, until `make_room`."""
    with (disk / BALLAST).open("ab", buffering=0) as ballast:
        block = BLOCK
        while block:
            try:
                ballast.write(block)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                block = block[: len(block) // 2]


def make_room(disk: Path) -> None:
    """Gives the space back."""
    (disk / BALLAST).unlink()


@contextmanager
def restarted(service: Service) -> Iterator[list[str]]:
    """While inside, a service that ends is started again, and again while that fails, as an init system does.

    Gives what was found each time.
    """
    ended: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_EVERY_SECONDS):
            if service.pid is not None:
                continue
            try:
                service.start()
                ended.append("started")
            except StackError as error:
                ended.append(str(error))

    thread = threading.Thread(target=watch, name=f"restarts-{service.name}")
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()
