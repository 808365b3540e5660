"""What a rule decides about one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portalbus.schemas.findings import Finding
from portalbus.schemas.models import VerdictStatus

OPEN = frozenset({VerdictStatus.WAITING, VerdictStatus.PARKED})


@dataclass(frozen=True, slots=True)
class Decision:
    """Status, the rule that decided, the place at fault, and what fills the rule's text."""

    status: VerdictStatus
    rule: str
    path: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """False when another decision will follow."""
        return self.status not in OPEN


ACCEPTED = Decision(VerdictStatus.ACCEPTED, "event.accepted")
CANARY = Decision(VerdictStatus.ACCEPTED, "event.canary")
"""A canary came through. A rule of its own, so that nobody counts it among what was published."""

RESTORED = Decision(VerdictStatus.ACCEPTED, "event.restored")
"""The ledger had lost this event from its list. A rule of its own, because it went to the canonical topics before."""

DUPLICATE = Decision(VerdictStatus.DUPLICATE, "event.duplicate")


def rejected(rule: str, path: str | None = None, **params: object) -> Decision:
    """A refusal by this rule."""
    return Decision(VerdictStatus.REJECTED, rule, path, {name: str(value) for name, value in params.items()})


def refused(finding: Finding) -> Decision:
    """A refusal for what a stateless rule found."""
    return Decision(VerdictStatus.REJECTED, finding.rule, finding.path, finding.params)


def waiting(rule: str, **params: object) -> Decision:
    """A stay in the waiting room, until what this rule names has come."""
    return Decision(VerdictStatus.WAITING, rule, None, {name: str(value) for name, value in params.items()})


def parked(rule: str) -> Decision:
    """A record that cannot be read, set aside as it came."""
    return Decision(VerdictStatus.PARKED, rule)
