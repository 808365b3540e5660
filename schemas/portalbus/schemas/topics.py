"""The topics of the bus: their names, and the contract of each, read from the files in `topics/`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from portalbus.schemas.directory import normalise_code
from portalbus.schemas.spelling import AGENCY_CODE

LANE_PREFIX = "lane."
VERDICT_PREFIX = "verdict."
CENTRAL_PREFIX = "central."
RELAY_POSITION = "central.relay-position"
ALERTS = "central.alert"
CANONICAL = {
    "DirectivePublished": "central.directive-published",
    "FeedbackReceived": "central.feedback-received",
    "FeedbackResolved": "central.feedback-resolved",
    "FeedbackProgressed": "central.feedback-progressed",
}


def lane_of(agency: str) -> str:
    """The lane of an agency: `lane.H26`."""
    return LANE_PREFIX + normalise_code(agency)


def verdicts_of(agency: str) -> str:
    """The verdict topic of an agency: `verdict.H26`."""
    return VERDICT_PREFIX + normalise_code(agency)


def is_lane(topic: str) -> bool:
    """True for the lane of an agency code in its present form; a topic such as `lane.h26` is nobody's lane."""
    return topic.startswith(LANE_PREFIX) and AGENCY_CODE.fullmatch(topic.removeprefix(LANE_PREFIX)) is not None


def agency_of(lane: str) -> str:
    """The agency that a lane belongs to. Raises ValueError for another topic."""
    if not lane.startswith(LANE_PREFIX):
        raise ValueError(f"{lane} is not a lane")
    return lane.removeprefix(LANE_PREFIX)


@dataclass(frozen=True)
class TopicContract:
    """One topic file; `name` may hold `<agency>`, one topic per agency then."""

    name: str
    purpose: str
    owner: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    schemas: tuple[str, ...]
    partitions: int
    config: Mapping[str, str]

    @property
    def per_agency(self) -> bool:
        """True when every agency has a topic of its own."""
        return "<agency>" in self.name

    def name_for(self, agency: str) -> str:
        """The topic's name for an agency."""
        return self.name.replace("<agency>", normalise_code(agency))


@lru_cache(maxsize=1)
def contracts() -> tuple[TopicContract, ...]:
    """All topic contracts, by name."""
    folder = files("portalbus.schemas").joinpath("topics")
    rows = [tomllib.loads(entry.read_text(encoding="utf-8")) for entry in folder.iterdir()]
    found = (
        TopicContract(
            name=row["name"],
            purpose=row["purpose"],
            owner=row["owner"],
            writers=tuple(row["writers"]),
            readers=tuple(row["readers"]),
            schemas=tuple(row["schemas"]),
            partitions=row["partitions"],
            config=dict(row["config"]),
        )
        for row in rows
    )
    return tuple(sorted(found, key=lambda contract: contract.name))
