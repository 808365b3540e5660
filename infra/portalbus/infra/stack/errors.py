"""Errors of the local stack.

StackError                 what is wrong, and what to do about it
├── AlreadyRunning         another process holds this state folder
└── PortTaken              a port that was free a moment ago is another program's
"""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot do what was asked; says in one sentence what is wrong and what to do.

    `problem` is a clause without its full stop, `remedy` a sentence in the imperative.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


class AlreadyRunning(StackError):
    """A stack is already running in this state folder."""

    def __init__(self, home: object, pid: int | None) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(
            f"a stack is already running in {home}{who}",
            "look at it with `portalbus status`, or end it with `portalbus down`",
        )
        self.pid = pid


class PortTaken(StackError):
    """A service ended because another program has its port: it may be started again with another one."""


class Cancelled(Exception):
    """Internal: the start was called off while a part of it was still under way."""
