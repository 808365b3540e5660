"""What a pull connector misses at once reaches the centre: an alert in the ledger, and a notice on central.alert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ledger_facts import rows
from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.central_alerts import FAILURES, MISSING, UNREADABLE, CentralAlerts
from pulled_portal import Pulled, pulled

XML = "application/rss+xml; charset=utf-8"
TEN = range(1, 11)


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


@pytest.fixture
def portal(site: LocalSite, tmp_path: Path) -> Pulled:
    site.put("/rss", rss([notice(site, number) for number in TEN]), XML)
    return pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss", "every": "1s"})


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def alerts(ledger_url: str) -> Iterator[CentralAlerts]:
    alerts = CentralAlerts(ledger_url, {"H26/www": ("H26", "www")})
    alerts.start()
    yield alerts
    alerts.stop()


def test_a_feed_that_empties_raises_an_alert_at_the_centre_once_and_closes_it_when_it_is_back(
    portal: Pulled,
    site: LocalSite,
    alerts: CentralAlerts,
    look: psycopg.Connection[tuple[object, ...]],
    eventually: Callable[[Callable[[], bool]], bool],
) -> None:
    def said() -> list[tuple[object, ...]]:
        query = "select kind, agency, portal, closed_at is null from ledger.alert order by raised_at"
        return rows(look, query)

    alerts.hear(portal.once())
    site.put("/rss", rss([]), XML)
    for _ in range(3):
        alerts.hear(portal.once(hours=1))
    assert eventually(lambda: said() == [(MISSING, "H26", "www", True)]), said()
    told = rows(look, "select count(*) from ledger.notice where topic = 'central.alert'")
    assert told == [(1,)]
    site.put("/rss", rss([notice(site, number) for number in TEN]), XML)
    alerts.hear(portal.once(hours=1))
    assert eventually(lambda: said() == [(MISSING, "H26", "www", False)]), said()
    ((texts,),) = rows(look, "select message from ledger.alert")
    assert "H26/www" in texts["vi"]
    assert "portalbus connect accept" in texts["en"]


def test_a_portal_that_cannot_be_read_again_and_again_is_told_and_an_alert_outlives_its_process(
    portal: Pulled,
    site: LocalSite,
    alerts: CentralAlerts,
    ledger_url: str,
    look: psycopg.Connection[tuple[object, ...]],
    eventually: Callable[[Callable[[], bool]], bool],
) -> None:
    def open_() -> int:
        return len(rows(look, "select from ledger.alert where kind = %s and closed_at is null", UNREADABLE))

    site.put("/rss", "gone", status=500)
    for number in range(FAILURES):
        assert open_() == 0, number
        alerts.hear(portal.once(hours=1))
    assert eventually(lambda: open_() == 1)
    alerts.stop()
    # The next process knows nothing of it until the portal was read.
    again = CentralAlerts(ledger_url, {"H26/www": ("H26", "www")})
    again.start()
    try:
        site.put("/rss", rss([notice(site, number) for number in TEN]), XML)
        again.hear(portal.once(hours=6))
        assert eventually(lambda: open_() == 0)
    finally:
        again.stop()
