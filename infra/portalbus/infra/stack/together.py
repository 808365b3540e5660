"""Runs a few jobs at once in threads that can be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable


def run_together(*jobs: Callable[[], None]) -> None:
    """Run the jobs at once, each in a thread; return when all have ended, or raise as soon as one has raised.

    The threads are daemons: after Ctrl-C nobody waits for a download that hangs. Jobs are expected to notice
    by themselves that the whole was called off.
    """
    changed = threading.Condition()
    errors: list[BaseException] = []
    running = len(jobs)

    def work(job: Callable[[], None]) -> None:
        nonlocal running
        try:
            job()
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)
        with changed:
            running -= 1
            changed.notify()

    for job in jobs:
        threading.Thread(target=work, args=(job,), daemon=True).start()
    with changed:
        changed.wait_for(lambda: not running or errors)
    if errors:
        raise errors[0]
