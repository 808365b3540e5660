"""From a scenario's words to what the portal is told to publish: templates, ids of this run, and special values."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from portalbus.connectors.conformance.scenario import Publish, PublishTogether, Scenario, Template
from portalbus.producers.testing import a_directive, a_feedback, an_answer
from portalbus.schemas.identifiers import new_public_code
from portalbus.schemas.models import PAYLOADS, Payload
from portalbus.schemas.normal_form import normalise

Place = tuple[str, ...]
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


@dataclass(frozen=True)
class Said:
    """One thing that the portal is told to publish; `reference` is the portal's own name for it."""

    ref: str
    reference: str
    event_type: str
    agency: str
    data: Mapping[str, Any]
    correlation: str | None = None

    @cached_property
    def payload(self) -> Payload | None:
        """What has to arrive; None when it breaks the contract."""
        try:
            return normalise(PAYLOADS[self.event_type].model_validate(dict(self.data)))
        except ValidationError:
            return None

    @property
    def place(self) -> Place:
        """What it is about."""
        return place_of(self.event_type, self.data)


def place_of(event_type: str, data: Mapping[str, Any]) -> Place:
    """What something is about, and which step of it: two events at the same place are the same thing said twice."""
    if event_type == "DirectivePublished":
        return event_type, str(data.get("directive_id", "")), str(data.get("version", ""))
    return event_type, str(data.get("case_id", ""))


@dataclass
class Maker:
    """Makes what one scenario says, under ids that no other run has used. The same ref is the same thing again."""

    scenario: Scenario
    run: str
    agency: str
    said: dict[str, Said] = field(default_factory=dict)
    _codes: dict[str, str] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """Stands in every id of this scenario in this run."""
        return f"{self.run}-{self.scenario.id}"

    def make(self, step: Publish) -> Said:
        """What a step says."""
        if step.ref in self.said:
            return self.said[step.ref]
        event_type, data = self._template(step)
        data.update({name: _value(given) for name, given in step.set.items()})
        for name in step.without:
            data.pop(name, None)
        said = Said(
            step.ref,
            f"{step.reference or step.ref} {self.mark}",
            event_type,
            step.agency or self.agency,
            data,
            step.correlation,
        )
        self.said[step.ref] = said
        return said

    def make_together(self, step: PublishTogether) -> list[list[Said]]:
        """The documents of a step, each with its versions in order."""
        return [
            [self.make(self._version(f"d{document}", version)) for version in range(1, step.versions + 1)]
            for document in range(1, step.documents + 1)
        ]

    def _version(self, about: str, version: int) -> Publish:
        event: Template = "directive" if version == 1 else "revision"
        return Publish(do="publish", ref=f"{about}v{version}", event=event, about=about, version=version)

    def _template(self, step: Publish) -> tuple[str, dict[str, Any]]:
        code = self._codes.setdefault(step.about, new_public_code())
        document, case = f"{self.mark}-{step.about}", f"{self.agency}-{self.mark}-{step.about}"
        if step.event == "feedback":
            made: Payload = a_feedback(self.agency, case_id=case, public_code=code)
        elif step.event in ("answer", "refusal"):
            made = an_answer(case)
        else:
            address = f"https://{self.agency.lower()}.example.vn/van-ban/{document}"
            made = a_directive(self.agency, directive_id=document, version=step.version, canonical_url=address)
        data = made.model_dump(mode="json", exclude_none=True)
        data.update(_CHANGES.get(step.event, {}))
        return made.event_type, data


_CHANGES: dict[str, dict[str, Any]] = {
    "revision": {"action": "REVISE"},
    "withdrawal": {"action": "WITHDRAW", "withdrawal_reason": "Ban hành nhầm thẩm quyền."},
    "refusal": {"outcome": "REJECTED"},
}


def _value(given: Any) -> Any:
    """A value of a scenario file: as it stands, or made as its one key says."""
    if isinstance(given, list):
        return [_value(item) for item in given]
    if not isinstance(given, dict):
        return given
    if "repeat" in given:
        return str(given["repeat"]) * int(given["times"])
    if "nfd" in given:
        return unicodedata.normalize("NFD", given["nfd"])
    if "now" in given:
        return (datetime.now(UTC) + _span(given["now"])).isoformat(timespec="milliseconds")
    return {name: _value(item) for name, item in given.items()}


def _span(text: str) -> timedelta:
    """`+3d`, `-10m`."""
    return timedelta(**{UNITS[text[-1]]: float(text[:-1])})
