"""A pull connector of one portal for tests: its configuration as YAML, its clock, and its passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from portalbus.connectors.pull.config import PullConfig, WebBounds
from portalbus.connectors.pull.config_file import read_config
from portalbus.connectors.pull.entry import Entry, entries
from portalbus.connectors.pull.kind import Surroundings
from portalbus.connectors.pull.passing import PassReport, make_pass
from portalbus.connectors.pull.secrets import secret
from portalbus.connectors.pull.web.client import Web
from portalbus.producers import Portal
from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import StoredEvent
from portalbus.schemas import avro_files
from portalbus.schemas.codec import WriterSchemas, decode, frame
from portalbus.schemas.models import Event

LOOPBACK = ("127.0.0.0/8",)
START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@dataclass
class HandClock:
    """A clock that a test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        """The time now."""
        return self.now

    def forward(self, **amount: float) -> None:
        """Time passes."""
        self.now += timedelta(**amount)


def bounds(**changed: Any) -> WebBounds:
    """Bounds for a server on this machine, with no pauses."""
    return WebBounds.model_validate({"internal": LOOPBACK, "pause": 0, "per_host_hour": 100_000, **changed})


def written(folder: Path, *portals: dict[str, Any], **settings: Any) -> Path:
    """A configuration file with these portals, H26/www unless they say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pull.yaml"
    web = {**bounds().model_dump(mode="json", exclude_unset=True), **settings.pop("web", {})}
    said = {"web": web, **settings, "portals": [{"agency": "H26", **portal} for portal in portals]}
    path.write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
    return path


@dataclass
class Pulled:
    """The first portal of a configuration, read by hand; what it publishes lies in a real outbox."""

    config: PullConfig
    clock: HandClock = field(default_factory=HandClock)
    web: Web = field(init=False)
    entry: Entry = field(init=False)
    portal: Portal = field(init=False)

    def __post_init__(self) -> None:
        self.web = Web(self.config.web)
        self.entry = entries(self.config)[0]
        self.portal = Portal(
            self.entry.config.agency, self.entry.config.portal, outbox=self.config.outbox, deliver=False
        )

    def once(self, **later: float) -> PassReport:
        """One pass, after so much time."""
        self.clock.forward(**later)
        self.web.hosts.forget()
        return make_pass(self.entry, self.surroundings(), self.portal)

    def surroundings(self) -> Surroundings:
        """What the source may use."""
        return Surroundings(self.clock, self.web.client, secret)

    def published(self) -> Sequence[Any]:
        """The payloads in the outbox, oldest first."""
        return published(self.portal)


def pulled(folder: Path, portal: dict[str, Any], **settings: Any) -> Pulled:
    """A portal read from a configuration file of its own."""
    return Pulled(read_config(written(folder, portal, **settings)))


def published(portal: Portal) -> list[Any]:
    """The payloads in a portal's outbox, oldest first."""
    place = portal.settings
    rows = Outbox(place.outbox, place.agency, place.portal, place.bounds).events(1, 10**9)
    return [_payload(row) for row in rows]


def _payload(row: StoredEvent) -> Any:
    writers = WriterSchemas({1: (row.event_type, avro_files.current(row.event_type).raw)})
    event = decode(frame(1, row.body), writers)
    assert isinstance(event, Event)
    return event.payload
