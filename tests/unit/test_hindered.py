"""Work that something is in the way of is done once it is gone; whatever else goes wrong is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from psycopg.errors import DeadlockDetected, DiskFull, LockNotAvailable, UniqueViolation
from structlog.testing import capture_logs

from portalbus.streams.ledger import hindered
from portalbus.streams.ledger.hindered import once_unhindered


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindered, "PAUSE_SECONDS", 0.01)


def hindered_work(*errors: type[Exception], then: Callable[[], object] = lambda: None) -> Callable[[], str]:
    """Work that fails in each of these ways first."""
    left = iter(errors)

    def work() -> str:
        error = next(left, None)
        if error is not None:
            raise error
        then()
        return "written"

    return work


def test_it_is_done_once_nothing_is_in_the_way_and_each_failure_is_logged() -> None:
    work = hindered_work(DiskFull, DeadlockDetected, LockNotAvailable, DiskFull)
    with capture_logs() as logs:
        assert once_unhindered(work, "casework", threading.Event()) == "written"
    assert {(line["event"], line["application"]) for line in logs} == {("database.away", "casework")}
    assert [line["sqlstate"] for line in logs] == ["53100", "40P01", "55P03", "53100"]


def test_who_is_told_to_stop_waits_no_longer_and_has_tried_once() -> None:
    stop = threading.Event()
    stop.set()
    assert once_unhindered(hindered_work(*[DiskFull] * 1_000), "casework", stop) is None
    assert once_unhindered(hindered_work(), "casework", stop) == "written"


def test_what_does_not_pass_is_raised() -> None:
    def refused() -> None:
        raise UniqueViolation

    with pytest.raises(UniqueViolation):
        once_unhindered(hindered_work(DiskFull, then=refused), "casework", threading.Event())
