"""Disks that are soon full: for a test's own files, or for the data of a service of the stack."""

from __future__ import annotations

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

LOOK_EVERY_SECONDS = 0.5


def may_mount(at: Path) -> bool:
    """True when this user may mount a disk on this machine."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    at = at / "tried"
    at.mkdir(exist_ok=True)
    return _mount(at, "size=1m") and subprocess.run(["umount", str(at)]).returncode == 0


def mount_small_disk(at: Path, megabytes: int) -> None:
    """Mounts a disk of so many megabytes; skips the test where this user may mount none."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    if not _mount(at, f"size={megabytes}m"):
        pytest.skip("this machine lets nobody mount a small disk")


def _mount(at: Path, options: str) -> bool:
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], capture_output=True).returncode == 0
    )


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
    """Leaves no byte free, until `make_room`: the disk is made as small as what lies on it."""
    while True:
        state = os.statvfs(disk)
        if _mount(disk, f"remount,size={(state.f_blocks - state.f_bfree) * state.f_frsize}"):
            return  # else somebody wrote meanwhile, and it holds more than that


def make_room(disk: Path, megabytes: int) -> None:
    """Makes the disk as large as it was."""
    assert _mount(disk, f"remount,size={megabytes}m")


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
