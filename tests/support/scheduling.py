"""Which process of several runs which tests."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling


class _OneStormAtATime(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests run in one process; those that break things, each of which keeps a machine busy, all in the same.

    Two of them at once would leave neither the time to come back from a kill.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/chaos" if file.startswith("tests/chaos/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Takes the place of xdist's own distribution by file."""
    return _OneStormAtATime(config, log) if config.option.dist == "loadfile" else None


__all__ = ["pytest_xdist_make_scheduler"]
