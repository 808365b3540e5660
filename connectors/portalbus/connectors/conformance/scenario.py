"""The scenarios as they stand in `scenarios/*.toml`: what is done, what must be seen, and why it matters."""

from __future__ import annotations

import hashlib
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from portalbus.schemas.models import Texts

Disturbance = Literal["outage", "hang", "lose-answers", "answer"]
Template = Literal["directive", "revision", "withdrawal", "feedback", "answer", "refusal"]
ALL = "*"


class Part(BaseModel):
    """Base of everything in a scenario file: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Publish(Part):
    """The portal publishes something. The same `ref` again is the same thing once more.

    `about` names the document or case of this scenario, `set` changes fields of the template, `without` leaves some
    out. `agency` makes the portal speak for somebody else.
    """

    do: Literal["publish"]
    ref: str
    event: Template = "directive"
    about: str = "doc"
    version: int = 1
    set: dict[str, Any] = {}
    without: tuple[str, ...] = ()
    agency: str | None = None
    correlation: str | None = None
    reference: str | None = None


class PublishTogether(Part):
    """Several documents are published at the same time, each in all its versions, one after the other."""

    do: Literal["publish-together"]
    documents: Annotated[int, Field(ge=2, le=50)]
    versions: Annotated[int, Field(ge=1, le=10)] = 1


class Disturb(Part):
    """From now on the bus is away (`outage`), silent (`hang`), takes events in without saying so (`lose-answers`),
    or answers with `status` (`answer`); for so many requests, or until it is healed when `times` is 0.
    """

    do: Literal["disturb"]
    how: Disturbance
    times: Annotated[int, Field(ge=0)] = 0
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after: Annotated[int, Field(ge=0, le=10)] | None = None


class Heal(Part):
    """The bus is well again."""

    do: Literal["heal"]


class Work(Part):
    """Time passes: the portal's worker runs, or its scheduled job is called, for so many seconds."""

    do: Literal["work"]
    seconds: Annotated[float, Field(gt=0, le=10)]


class Kill(Part):
    """The portal is killed without warning, and started again."""

    do: Literal["kill"]


Step = Annotated[Publish | PublishTogether | Disturb | Heal | Work | Kill, Field(discriminator="do")]


class Scenario(Part):
    """One scenario. `arrives` are the refs that must arrive, once each; `refused` maps a ref to the rules of which the
    portal must name one. At the end the bus is healed and the portal gets time to deliver.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{2,40}$")]
    title: Texts
    why: Texts
    step: tuple[Step, ...]
    arrives: tuple[str, ...] | Literal["*"] = ()
    refused: dict[str, tuple[str, ...]] = {}

    @property
    def kills(self) -> bool:
        """True when the portal has to be killed and started again."""
        return any(isinstance(step, Kill) for step in self.step)

    @property
    def disturbances(self) -> frozenset[Disturbance]:
        """What the receiving end must be able to do."""
        return frozenset(step.how for step in self.step if isinstance(step, Disturb))


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """All scenarios, in the order of their files' names."""
    return tuple(Scenario.model_validate(tomllib.loads(text)) for text in _texts())


@lru_cache(maxsize=1)
def edition() -> str:
    """SHA-256 of all scenario files: a certificate says with which ones it was won."""
    return hashlib.sha256("\x00".join(_texts()).encode()).hexdigest()


def _texts() -> list[str]:
    folder = files("portalbus.connectors.conformance").joinpath("scenarios")
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return [entry.read_text(encoding="utf-8") for entry in found]
