"""The one YAML file that says which portals are read, how, and how often; every mistake is named with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from portalbus.connectors.pull.mapping import MappingRules
from portalbus.schemas.models import AgencyCode, DirectivePublished, FeedbackReceived, FeedbackResolved, PortalId

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")
MIB = 1024 * 1024


def seconds(value: Any) -> Any:
    """The seconds of a duration such as `90s`, `15m`, `6h`, `1d`. Raises ValueError for a text that is none."""
    if not isinstance(value, str):
        return value
    found = DURATION.fullmatch(value)
    if found is None:
        raise ValueError("a duration is a number with s, m, h or d, such as 15m")
    return float(found.group(1)) * UNITS[found.group(2)]


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0)]


class Strict(BaseModel):
    """Base of all settings: frozen, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Withdrawing(Strict):
    """When something that is no longer found counts as withdrawn.

    It must be missing twice, `after` seconds apart. When more than the part `shrink` of what stood there is missing
    at once, or everything, that is an alert and nothing is withdrawn. Where an item's own page is asked, it is asked
    every `ask_every` seconds at most. `reason` is the reason that is published.
    """

    enabled: bool = True
    after: Seconds = 3_600.0
    ask_every: Seconds = 6 * 3_600.0
    shrink: Annotated[float, Field(gt=0, le=1)] = 0.3
    reason: Annotated[str, Field(min_length=1, max_length=2_000)] = (
        "Cơ quan ban hành không còn đăng văn bản này trên cổng thông tin của mình."
    )


class PortalConfig(Strict):
    """What every kind of source needs to be told; a kind adds its own settings in a subclass.

    `name` tells several sources of one portal apart. `mapping` overrides the kind's own field rules. `every` is the
    time from one pass to the next. Documents issued before `since` are not published.
    """

    event_types: ClassVar[tuple[type[BaseModel], ...]] = (DirectivePublished,)
    given_by_comparer: ClassVar[frozenset[str]] = frozenset({"action", "version", "withdrawal_reason"})

    agency: AgencyCode
    portal: PortalId = "www"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")] | None = None
    kind: str
    address: Annotated[str, Field(min_length=1)]
    every: Annotated[Seconds, Field(ge=1)] = 900.0
    mapping: MappingRules = Field(default_factory=dict)
    since: date | None = None
    withdrawing: Withdrawing = Withdrawing()
    max_items: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000

    @property
    def asks_pages(self) -> bool:
        """Whether an item that is no longer listed is withdrawn only when its own page says that it is gone, twice."""
        return False

    @property
    def source(self) -> str:
        """Agency and portal: `H26/www`."""
        return f"{self.agency}/{self.portal}"

    @property
    def entry(self) -> str:
        """What this entry of the file is called: `H26/www`, or `H26/www/documents` with a name of its own."""
        return self.source + (f"/{self.name}" if self.name else "")

    @field_validator("mapping")
    @classmethod
    def _fields_exist(cls, mapping: MappingRules) -> MappingRules:
        known = {name for model in cls.event_types for name in model.model_fields} - cls.given_by_comparer
        unknown = sorted(set(mapping) - known)
        if unknown:
            raise ValueError(f"no such field: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return mapping


class FeedbackPortalConfig(PortalConfig):
    """Base for the kinds that bring feedback in."""

    event_types: ClassVar[tuple[type[BaseModel], ...]] = (FeedbackReceived, FeedbackResolved)


class WebBounds(Strict):
    """How the web is used: seconds, bytes, and how often one host may be asked.

    `internal` are networks whose addresses may be read although they are private (CIDR), for portals inside a
    government network, `ca_file` the certificates of an authority of their own. `per_host_hour` is the most requests
    an hour to one host, `pause` the least time between two. `pass_timeout` ends a pass that reads many pages; the
    next one goes on.
    """

    user_agent: str = "portalbus-connect (+https://github.com/portalbus/portalbus)"
    connect_timeout: Seconds = 5.0
    read_timeout: Seconds = 10.0
    total_timeout: Seconds = 30.0
    pass_timeout: Seconds = 120.0
    max_bytes: Annotated[int, Field(ge=1_024, le=64 * MIB)] = 5 * MIB
    max_attachment_bytes: Annotated[int, Field(ge=0, le=1_024 * MIB)] = 20 * MIB
    max_redirects: Annotated[int, Field(ge=0, le=10)] = 5
    per_host_hour: Annotated[int, Field(ge=1)] = 1_200
    pause: Seconds = 0.5
    internal: tuple[str, ...] = ()
    ca_file: str = ""

    @field_validator("internal")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        from ipaddress import ip_network

        for network in networks:
            ip_network(network)  # raises ValueError with the network's own words
        return networks


class PullConfig(Strict):
    """The whole file. Folders are relative to it; `kafka` holds librdkafka properties, secrets as `env:NAME`."""

    bootstrap: str = ""
    registry: str = ""
    kafka: Mapping[str, str] = Field(default_factory=dict, repr=False)
    outbox: Path = Path("outbox")
    memory: Path = Path("memory")
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    web: WebBounds = WebBounds()
    portals: Annotated[tuple[PortalConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _entries_differ(self) -> PullConfig:
        seen: set[str] = set()
        for portal in self.portals:
            if portal.entry in seen:
                raise ValueError(f"{portal.entry} is there twice: give the second one a name of its own (name: …)")
            seen.add(portal.entry)
        return self
