"""What is going to happen: every event of the demo with its door, its place in the day, and the verdict it must get."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from portalbus.infra.demo.cast import WEB
from portalbus.schemas.directory import Agency
from portalbus.schemas.models import Payload, VerdictStatus


class Door(StrEnum):
    """How an event comes in."""

    SDK = "SDK"
    """Published by a portal through the SDK."""
    KAFKA = "KAFKA"
    """Written to the lane by an old system with a plain producer."""
    DJANGO = "DJANGO"
    """Published inside the transaction of a Django portal's own database."""
    GATEWAY = "GATEWAY"
    """Posted to the HTTP gateway by a portal in PHP, or whatever other runtime is there."""
    FEED = "FEED"
    """Found in a portal's RSS feed by a pull connector."""
    SQL = "SQL"
    """Found in a view of a portal's database by a pull connector."""
    FILES = "FILES"
    """Found in a file that was put into a drop folder."""
    OPEN311 = "OPEN311"
    """Found at a city's Open311 service."""

    @property
    def portal(self) -> str:
        """Portal id of those who come in this way, beside the agency's own website."""
        return self.value.lower()


PULLED = (Door.FEED, Door.SQL, Door.FILES, Door.OPEN311)
"""Portals without developers: they are read."""
JOINED = (Door.DJANGO, Door.GATEWAY, *PULLED)
"""The ways other than the SDK, one portal each."""


class Wire(StrEnum):
    """What an old system does to a record, beside what it says in it."""

    SOUND = "SOUND"
    NOT_AVRO = "NOT_AVRO"
    CUT_SHORT = "CUT_SHORT"
    TRAILING_BYTES = "TRAILING_BYTES"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    EMPTY = "EMPTY"
    TOO_LARGE = "TOO_LARGE"
    WRONG_KEY = "WRONG_KEY"
    SENT_AGAIN = "SENT_AGAIN"
    """The very record of an earlier step, byte for byte."""
    ID_REUSED = "ID_REUSED"
    """The event id of an earlier step, with something else to say."""
    SEQUENCE_REUSED = "SEQUENCE_REUSED"
    """A sequence that the source used before."""
    OTHER_AGENCY = "OTHER_AGENCY"
    """An envelope that names another agency than the lane's."""


@dataclass(frozen=True)
class Step:
    """One event. `at` is its place in the day, from 0 to 1.

    `status` and `rule` are what the centre must say in the end; a step without a status is refused by the SDK, with
    that rule, and never sent. `fault` names what is wrong with it, and is None for an honest event.
    """

    number: int
    at: float
    agency: str
    occurred_at: datetime
    payload: Payload
    portal: str = WEB
    door: Door = Door.SDK
    status: VerdictStatus | None = VerdictStatus.ACCEPTED
    rule: str = "event.accepted"
    fault: str | None = None
    wire: Wire = Wire.SOUND
    of_step: int | None = None
    other_agency: str | None = None

    @property
    def sent(self) -> bool:
        """True when it is meant to reach the lane."""
        return self.status is not None


@dataclass(frozen=True)
class Plan:
    """A whole day. The same seed, cast and day give the same plan; `tag` makes its ids unlike those of other runs."""

    seed: int
    tag: str
    day: date
    cast: tuple[Agency, ...]
    steps: tuple[Step, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over every step without the tag: equal for plans that say the same."""
        digest = hashlib.sha256()
        for step in self.steps:
            said = f"{step.at:.9f} {step.agency}/{step.portal} {step.door} {step.wire} {step.status} {step.rule}"
            said += f" {step.occurred_at.isoformat()} {step.payload.model_dump_json(exclude={'public_code'})}"
            digest.update(said.replace(self.tag, "").encode())
        return digest.hexdigest()

    def sent_steps(self) -> list[Step]:
        """The steps that reach a lane."""
        return [step for step in self.steps if step.sent]

    def faults(self) -> Counter[str]:
        """How many of each fault."""
        return Counter(step.fault for step in self.steps if step.fault)
