"""What the integration tests share."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from secured_kafka import secured

__all__ = ["eventually", "secured"]


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Give a function that asks again and again until the answer is yes, for 90 seconds at most."""

    def ask(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 90
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return ask
