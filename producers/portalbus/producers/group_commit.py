"""Several threads, one commit: one of those who wait commits for all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")


class Request(Generic[W, R]):
    """One caller's work, and what became of it. `tried` when it may be stored already: a commit was interrupted."""

    __slots__ = ("done", "error", "leads", "result", "tried", "woken", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.tried = False
        self.done = False
        self.leads = False
        self.result: R | None = None
        self.error: Exception | None = None
        self.woken = threading.Lock()
        self.woken.acquire()


class GroupCommit(Generic[W, R]):
    """Joins the work of waiting threads; `commit` stores it all at once and fills in each result or error.

    When `commit` raises, every request of that group gets the error. There is no thread of its own: the first caller
    leads, and then hands over to the next one that waits. A lone caller pays next to nothing, and a forked process
    has nothing to restart.
    """

    def __init__(self, commit: Callable[[Sequence[Request[W, R]]], None]) -> None:
        self._commit = commit
        self._waiting: deque[Request[W, R]] = deque()
        self._mutex = threading.Lock()
        self._led = False

    def submit(self, work: W) -> R:
        """Stores the work and returns its result, or raises its error."""
        request: Request[W, R] = Request(work)
        try:
            with self._mutex:
                self._waiting.append(request)
                request.leads, self._led = not self._led, True
            if not request.leads:
                request.woken.acquire()
            if request.leads:
                self._commit_waiting()
        finally:
            self._hand_over(request)
        if request.error is not None:
            raise request.error
        if request.result is None:
            raise RuntimeError("the commit forgot a request")
        return request.result

    def _commit_waiting(self) -> None:
        with self._mutex:
            group = list(self._waiting)
            self._waiting.clear()
        settled = False
        try:
            self._commit(group)
            settled = True
        except Exception as error:
            for request in group:
                request.error = error
            settled = True
        finally:
            if settled:
                _wake(group)
            else:
                self._give_back(group)

    def _give_back(self, group: Sequence[Request[W, R]]) -> None:
        """This thread is being interrupted: the work waits again, in order, for the next one to commit."""
        for request in group:
            request.tried = True
        with self._mutex:
            self._waiting.extendleft(reversed(group))

    def _hand_over(self, request: Request[W, R]) -> None:
        """Lets the next one lead, when this one did; an interrupted caller takes its work back."""
        with self._mutex:
            if not request.done and request in self._waiting:
                self._waiting.remove(request)
            if not request.leads:
                return
            if self._waiting:
                heir = self._waiting[0]
                heir.leads = True
                heir.woken.release()
            else:
                self._led = False


def _wake(group: Sequence[Request[W, R]]) -> None:
    for request in group:
        request.done = True
        if not request.leads:
            request.woken.release()
