"""What a rule found: which rule, where, and in words that help to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.models import Texts


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to refuse an event; `path` is a JSON pointer into the payload or the envelope."""

    rule: str
    path: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> Texts:
        """What is wrong, in three languages."""
        return catalogue()[self.rule].message(self.params)

    @property
    def mend(self) -> Texts | None:
        """How to mend it, in three languages; None when there is nothing to mend."""
        return catalogue()[self.rule].mend(self.params)

    def explain(self) -> str:
        """One English line for a log or an exception: rule, place, what, how to mend."""
        mend = self.mend
        place = f" at {self.path}" if self.path else ""
        return f"[{self.rule}]{place}: {self.message.en}" + (f" {mend.en}" if mend else "")
