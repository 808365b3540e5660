"""The pytest plugin. It imports the SDK when a test asks for one of its fixtures, and costs the others nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portalbus.producers import Portal
    from portalbus.producers.testing import InProcessBus, PublishedEvent


@pytest.fixture
def portalbus_bus() -> Iterator[InProcessBus]:
    """A bus of this test alone, in this process."""
    from portalbus.producers.testing import InProcessBus

    bus = InProcessBus()
    yield bus
    bus.close()


@pytest.fixture
def portalbus_portal(portalbus_bus: InProcessBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """A portal of H26 on that bus, which keeps verdicts. `Portal.from_env()` in the code under test finds it, too."""
    outbox = tmp_path / "portalbus-outbox"
    portal = portalbus_bus.portal(outbox, verdicts=True)
    for name in [name for name in os.environ if name.startswith("PORTALBUS_")]:
        monkeypatch.delenv(name)  # a login for the real bus would keep the test from this one
    monkeypatch.setenv("PORTALBUS_AGENCY", "H26")
    monkeypatch.setenv("PORTALBUS_BOOTSTRAP", portalbus_bus.bootstrap)
    monkeypatch.setenv("PORTALBUS_REGISTRY", portalbus_bus.registry_url)
    monkeypatch.setenv("PORTALBUS_OUTBOX", str(outbox))
    return portal


@pytest.fixture
def published_events(portalbus_bus: InProcessBus) -> Callable[..., list[PublishedEvent]]:
    """What was published: `published_events(at_least=1)` waits for it, and takes `agency` and `within`, too."""
    return portalbus_bus.published
