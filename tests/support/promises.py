"""How a test says that a promise was broken: `.ci/run`, which repeats tests that fail, does not repeat such a one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BrokenPromise(AssertionError):
    """A promise is broken. No hiccup of the machine does that: such a test is never run a second time."""


@contextmanager
def promised() -> Iterator[None]:
    """What is asserted in here was promised; also before a function that asserts nothing else.

    Nothing in it may wait for something: that a busy machine is late breaks no promise.
    """
    try:
        yield
    except AssertionError as error:
        raise BrokenPromise(str(error)) from error
