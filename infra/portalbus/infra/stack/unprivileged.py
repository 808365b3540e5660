"""The user that PostgreSQL runs as when we are root, which it refuses to run as."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.process import User

CAP_DAC_OVERRIDE = 1


def open_to_all(path: Path) -> bool:
    """Tell whether any user may enter every folder on the way to `path`."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def may_override() -> bool:
    """Tell whether we hold the right to pass folder permissions (root in some containers does not)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> CAP_DAC_OVERRIDE & 1)


def service_user(paths: Iterable[Path]) -> User | None:
    """Return whom to run as so that `paths` can be reached, or None when we are not root.

    A project in /root is closed to other users. Its permissions are not ours to change, so the service then
    keeps root's right to pass them. Raises StackError when that is not possible either.
    """
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    closed = [path for path in paths if not open_to_all(path)]
    if closed and not may_override():
        raise StackError(
            f"PostgreSQL does not run as root, and the user nobody cannot reach {closed[0]}",
            "run as an ordinary user, or move the project to a folder that all users may enter",
        )
    return User(nobody.pw_uid, nobody.pw_gid, reach=bool(closed))
