"""A connector killed between any two steps goes on where it was: every decision is published, none twice."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from pathlib import Path

import pytest

from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.memory import MemoryFile
from portalbus.connectors.pull.passing import make_pass
from portalbus.connectors.pull.remembered import State
from portalbus.producers import EventRefused, Receipt
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Payload
from pulled_portal import Pulled, pulled

XML = "application/rss+xml; charset=utf-8"
ITEMS = 3
STEPS = ["before deciding", "after deciding", *(f"{when} {n}" for n in range(ITEMS) for when in ("before", "after"))]


def die() -> None:
    """As a power cut would: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """The portal of a test, in a process that dies at one of the steps."""

    def __init__(self, portal: Pulled, step: str) -> None:
        self._portal = portal
        self._step = step
        self._count = 0

    def publish(self, payload: Payload, *, event_id: str, occurred_at: datetime) -> Receipt:
        """Publishes unless it dies before; may die after."""
        if self._step == f"before {self._count}":
            die()
        receipt = self._portal.portal.publish(payload, event_id=event_id, occurred_at=occurred_at)
        if self._step == f"after {self._count}":
            die()
        self._count += 1
        return receipt


def killed_at(step: str, portal: Pulled) -> None:
    """One pass in a process of its own, which does not survive it."""
    child = os.fork()
    if child == 0:
        decide = MemoryFile.decide

        def deadly(*arguments: object) -> None:
            if step == "before deciding":
                die()
            decide(*arguments)  # type: ignore[arg-type]
            if step == "after deciding":
                die()

        MemoryFile.decide = deadly  # type: ignore[method-assign,assignment]
        make_pass(portal.entry, portal.surroundings(), Deadly(portal, step))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the process outlived {step}"


@pytest.mark.parametrize("changed", [False, True], ids=["the site stays", "the site changes meanwhile"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_two_steps(step: str, changed: bool, tmp_path: Path) -> None:
    with LocalSite() as site:
        site.put("/rss", rss([notice(site, number) for number in range(ITEMS)]), XML)
        portal = pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss"})
        killed_at(step, portal)
        if changed:
            site.put("/rss", rss([notice(site, number, "Nội dung mới.") for number in range(ITEMS)]), XML)
        for _ in range(2):
            portal.once(hours=1)
        versions = [(payload.directive_id, payload.version) for payload in portal.published()]
        assert len(versions) == len(set(versions))
        newest = {payload.directive_id: payload for payload in portal.published()}
        assert len(newest) == ITEMS
        revised = changed and step != "before deciding"
        assert {payload.version for payload in newest.values()} == {2 if revised else 1}
        assert ("Nội dung mới." in {payload.body for payload in newest.values()}) == changed
        assert portal.entry.memory.pending() == []


def test_an_event_that_is_refused_after_all_is_decided_anew(tmp_path: Path) -> None:
    """Between deciding and publishing, a rule may come to refuse: the agency is merged, a day has passed."""

    class Stricter:
        def publish(self, payload: Payload, *, event_id: str, occurred_at: datetime) -> Receipt:
            raise EventRefused([Finding("agency.abolished", "/envelope/agency", {"code": "H26", "successors": "–"})])

    with LocalSite() as site:
        site.put("/rss", rss([notice(site, number) for number in range(ITEMS)]), XML)
        portal = pulled(tmp_path, {"kind": "feed", "address": site.url + "/rss"})
        report = make_pass(portal.entry, portal.surroundings(), Stricter())
        assert (report.published, len(report.taken_back)) == (0, ITEMS)
        memory, _ = portal.entry.memory.load()
        assert {(item.version, item.state) for item in memory.items.values()} == {(0, State.NEW)}
        assert portal.once(hours=1).published == ITEMS
        assert {payload.version for payload in portal.published()} == {1}
