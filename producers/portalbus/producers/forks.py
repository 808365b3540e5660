"""Portals and fork: a prefork server may have used a portal before its workers came to be.

An SQLite connection or a Kafka client that crosses a fork corrupts or hangs. So every file is closed right before a
fork, and reopened by whoever uses it next; the child starts a delivery of its own when it first publishes.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What has to know about forks."""

    def before_fork(self) -> None:
        """Waits for running transactions and closes all files."""

    def after_fork(self, *, child: bool) -> None:
        """Lets work go on; in the child, forgets the threads that stayed behind."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_forking: list[Forkable] = []
_forking_undivided: list[bool] = []

undivided = threading.RLock()
"""Held while a thread of the SDK imports or logs: a fork in the middle would leave locks that the child waits for.

Those of modules, and those of the application's log output. Whoever holds it must not wait for a portal.
"""
WAIT_SECONDS = 5.0
"""A fork goes on after so long: what logs may itself wait for a lock of another library that is held for this fork."""


def watch(portal: Forkable) -> None:
    """Tells this portal about every fork of the process, as long as it lives."""
    _watched.add(portal)


def _before() -> None:
    for portal in list(_watched):
        portal.before_fork()
        _forking.append(portal)
    # Last: whoever holds it waits for no portal.
    _forking_undivided.append(undivided.acquire(timeout=WAIT_SECONDS))


def _after(*, child: bool) -> None:
    if _forking_undivided and _forking_undivided.pop():
        undivided.release()
    while _forking:
        _forking.pop().after_fork(child=child)


os.register_at_fork(
    before=_before, after_in_parent=lambda: _after(child=False), after_in_child=lambda: _after(child=True)
)
