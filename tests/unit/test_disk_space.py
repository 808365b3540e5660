"""Work that finds no space is done once there is some; whatever else goes wrong is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from psycopg.errors import DiskFull, UniqueViolation
from structlog.testing import capture_logs

from portalbus.streams.ledger import disk_space
from portalbus.streams.ledger.disk_space import once_there_is_space


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "PAUSE_SECONDS", 0.01)


def full(times: int, then: Callable[[], object] = lambda: None) -> Callable[[], str]:
    """Work that finds the disk full so many times."""
    left = iter(range(times))

    def work() -> str:
        if next(left, None) is not None:
            raise DiskFull
        then()
        return "written"

    return work


def test_it_is_done_once_there_is_space_and_each_failure_is_logged() -> None:
    with capture_logs() as logs:
        assert once_there_is_space(full(3), "casework", threading.Event()) == "written"
    assert [(line["event"], line["application"], line["sqlstate"]) for line in logs] == [
        ("database.away", "casework", "53100")
    ] * 3


def test_who_is_told_to_stop_waits_no_longer_and_has_tried_once() -> None:
    stop = threading.Event()
    stop.set()
    assert once_there_is_space(full(1_000), "casework", stop) is None
    assert once_there_is_space(full(0), "casework", stop) == "written"


def test_what_is_no_lack_of_space_is_raised() -> None:
    def refused() -> None:
        raise UniqueViolation

    with pytest.raises(UniqueViolation):
        once_there_is_space(full(2, refused), "casework", threading.Event())
