"""All portals of the other kinds together, and which of them can take part here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.joined.django_portal import DjangoPortal, is_installed
from portalbus.infra.demo.joined.gateway_portal import GatewayPortal
from portalbus.infra.demo.joined.pulled_portals import PulledPortals
from portalbus.infra.demo.plan import JOINED, PULLED, Door, Plan
from portalbus.infra.demo.sent import SentLog
from portalbus.infra.stack.paths import StateFolder


class _Portal(Protocol):
    def start(self) -> None:
        """Begins its day."""


def doors_here(addresses: Addresses, home: Path) -> Sequence[Door]:
    """The ways in that work here: Django has to be installed, the gateway to run, the stack's database to be ours."""
    there = {
        Door.DJANGO: is_installed(),
        Door.GATEWAY: bool(addresses.gateway_url),
        **dict.fromkeys(PULLED, StateFolder.at(home).secrets.exists()),
    }
    return [door for door in JOINED if there[door]]


class JoinedPortals:
    """A context manager: every portal is opened inside, and ended after."""

    def __init__(self, plan: Plan, addresses: Addresses, home: Path, clockwork: Clockwork, log: SentLog) -> None:
        self._steps = {door: [step for step in plan.steps if step.door is door] for door in JOINED}
        self._addresses = addresses
        self._home = home
        self._folder = home / "demo" / plan.tag
        self._clockwork = clockwork
        self._log = log
        self._portals: list[_Portal] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opening:
            where, home, folder, rest = self._addresses, self._home, self._folder, (self._clockwork, self._log)
            if steps := self._steps[Door.DJANGO]:
                self._portals.append(opening.enter_context(DjangoPortal(steps, where, home, *rest)))
            if steps := self._steps[Door.GATEWAY]:
                self._portals.append(opening.enter_context(GatewayPortal(steps, where, home, folder, *rest)))
            if steps := [step for door in PULLED for step in self._steps[door]]:
                self._portals.append(opening.enter_context(PulledPortals(steps, where, home, folder, *rest)))
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def start(self) -> None:
        """Every portal begins its day."""
        for portal in self._portals:
            portal.start()
