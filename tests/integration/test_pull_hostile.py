"""Hostile and broken servers: each abuse gives a clear line, nothing is lost, and the other portals go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from hostile_pages import BEHAVIOURS, CONTENTS, DEEP, hangs
from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.config_file import read_config
from portalbus.connectors.pull.runner import Runner
from portalbus.connectors.pull.web.client import Web
from portalbus.producers import Portal
from pulled_portal import Pulled, published, pulled, written

XML = "application/rss+xml; charset=utf-8"
TIGHT = {"read_timeout": 0.5, "connect_timeout": 0.5, "total_timeout": 1.5, "max_bytes": 1_048_576}


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def before_and_after(site: LocalSite, folder: Path) -> Pulled:
    """A portal with three published items; what comes next is up to the test."""
    site.put("/rss", rss([notice(site, number) for number in (1, 2, 3)]), XML)
    portal = pulled(folder, {"kind": "feed", "address": site.url + "/rss"}, web=TIGHT)
    assert portal.once().published == 3
    return portal


def recovers(site: LocalSite, portal: Pulled) -> None:
    """The good feed is back with a fourth item: only that one is published."""
    site.put("/rss", rss([notice(site, number) for number in (1, 2, 3, 4)]), XML)
    assert portal.once(hours=12).published == 1
    assert [payload.action for payload in portal.published()] == ["PUBLISH"] * 4


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_an_abuse_is_named_bounded_and_survived(name: str, site: LocalSite, tmp_path: Path) -> None:
    behaviour, said = BEHAVIOURS[name]
    portal = before_and_after(site, tmp_path)
    memory_before = psutil.Process().memory_info().rss
    site.misbehave("/rss", behaviour)
    for page in [path for path in site.pages if path.startswith("/rss") and path != "/rss"]:
        del site.pages[page]
    if name == "chain":
        for length in range(1, 8):
            site.misbehave("/rss" + "x" * length, behaviour)
    started = time.monotonic()
    report = portal.once(hours=12)
    assert said in report.failed
    assert site.url + "/rss" in report.failed or "address" in report.failed
    assert time.monotonic() - started < 3
    assert psutil.Process().memory_info().rss - memory_before < 40 * 1024 * 1024
    recovers(site, portal)


@pytest.mark.parametrize("name", CONTENTS)
def test_hostile_content_is_named_and_survived(name: str, site: LocalSite, tmp_path: Path) -> None:
    content, said = CONTENTS[name]
    portal = before_and_after(site, tmp_path)
    site.put("/rss", content, "application/rss+xml")
    started = time.monotonic()
    assert said in portal.once(hours=12).failed
    assert time.monotonic() - started < 3
    recovers(site, portal)


@pytest.mark.parametrize(
    "content",
    [DEEP, "<" * 100_000, "<rss>" + "<a " * 30_000, "<rss><![CDATA[" * 20_000, "<rss><item>&" + "&#" * 100_000],
    ids=["deep", "angles", "tags", "cdata", "references"],
)
def test_markup_made_to_be_slow_is_read_or_refused_in_seconds(content: str, site: LocalSite, tmp_path: Path) -> None:
    portal = before_and_after(site, tmp_path)
    site.put("/rss", content, XML)
    started = time.monotonic()
    report = portal.once(hours=12)
    assert time.monotonic() - started < 10
    assert report.crashed is None
    assert report.published == 0
    recovers(site, portal)


def test_a_private_address_is_refused_unless_it_is_listed(site: LocalSite, tmp_path: Path) -> None:
    site.put("/rss", rss([notice(site, 1)]), XML)
    portal = pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss"}, web={"internal": []})
    assert "127.0.0.1 is an address inside a network" in portal.once().failed
    assert site.asked == []


def test_robots_txt_is_respected_and_asked_for_once(site: LocalSite, tmp_path: Path) -> None:
    site.put(
        "/robots.txt", "User-agent: *\nDisallow: /\n\nUser-agent: portalbus-connect\nDisallow: /secret", "text/plain"
    )
    site.put("/rss", rss([notice(site, 1)]), XML)
    portal = pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss"})
    assert portal.once().published == 1
    assert portal.once(hours=1).published == 0
    site.put("/secret", rss([notice(site, 1)]), XML)
    other = pulled(tmp_path / "other", {"kind": "feed", "address": site.url + "/secret"})
    assert "robots.txt asks not to read it" in other.once().failed
    agreed = pulled(tmp_path / "agreed", {"kind": "feed", "address": site.url + "/secret", "robots": False})
    assert agreed.once().published == 1
    assert [path for path, _ in site.asked].count("/robots.txt") == 2


def test_a_host_that_fails_is_given_a_rest_without_being_asked(site: LocalSite, tmp_path: Path) -> None:
    portal = before_and_after(site, tmp_path)
    site.misbehave("/rss", BEHAVIOURS["fails"][0])
    assert portal.once(hours=1).due_in >= 120
    site.asked.clear()
    portal.web.hosts.failed(site.url)
    from portalbus.connectors.pull.passing import make_pass

    report = make_pass(portal.entry, portal.surroundings(), portal.portal)
    assert "it rests for" in report.postponed
    assert site.asked == []


def test_the_budget_of_a_host_is_kept(site: LocalSite, tmp_path: Path) -> None:
    site.put("/rss", rss([notice(site, 1)]), XML)
    portal = pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss"}, web={"per_host_hour": 3})
    from portalbus.connectors.pull.passing import make_pass

    reports = [make_pass(portal.entry, portal.surroundings(), portal.portal) for _ in range(4)]
    assert [bool(report.postponed) for report in reports] == [False, False, True, True]
    assert "the budget of 3 requests an hour is used up" in reports[-1].postponed
    assert len(site.asked) == 3


def test_many_hanging_hosts_hold_up_no_other(tmp_path: Path) -> None:
    with ExitStack() as open_:
        bad = [open_.enter_context(LocalSite()) for _ in range(12)]
        good = [open_.enter_context(LocalSite()) for _ in range(4)]
        for hanging in bad:
            hanging.misbehave("/rss", hangs)
            hanging.put("/robots.txt", "", "text/plain")
        for well in good:
            well.put("/rss", rss([notice(well, 1)]), XML)
        portals = [
            {"portal": f"p{number}", "kind": "feed", "address": each.url + "/rss", "every": "1s"}
            for number, each in enumerate([*bad, *good])
        ]
        config = read_config(written(tmp_path, *portals, workers=4, web=TIGHT))
        speaking = {
            f"H26/p{number}": Portal("H26", f"p{number}", outbox=tmp_path / "outbox", deliver=False)
            for number in range(len(portals))
        }
        runner = Runner(config, speaking, Web(config.web))
        running = threading.Thread(target=runner.run)
        running.start()
        try:
            deadline = time.monotonic() + 15

            def read(well: LocalSite) -> int:
                return well.paths().count("/rss")

            while min(map(read, good)) < 5:
                assert time.monotonic() < deadline, [read(well) for well in good]
                time.sleep(0.05)
            # Known as slow, the hanging ones wait in a queue of their own: the good ones keep their pace.
            counts, started = [read(well) for well in good], time.monotonic()
            while min(read(well) - count for well, count in zip(good, counts, strict=True)) < 3:
                assert time.monotonic() - started < 6
                time.sleep(0.05)
        finally:
            runner.stop()
            running.join(15)
        assert not running.is_alive()
        assert all(len(published(speaking[f"H26/p{number}"])) == 1 for number in range(12, 16))
