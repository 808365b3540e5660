"""Every error the bus raises on purpose.

PortalbusError
├── EventRefused          a rule refuses the event; carries every finding
├── UndecodableRecord     bytes that are no event of ours; carries the rule id
├── ContractBroken        a changed schema breaks its history or the policy; carries every problem
├── AgencyUnknown         no such agency code, or none on that date
├── RegistryUnavailable   the schema registry does not answer; try again
├── RegistryRefused       the schema registry answered no; trying again is useless
│   └── NotRegistered     … because it does not hold what was asked for
├── OutboxFull            the outbox reached its bound; the broker is away too long
├── OutboxDamaged         the outbox is shorter than it was, or unreadable
├── OutboxUnavailable     the outbox file cannot be used now: locked, not writable, disk error
└── PortalClosed          the portal object was closed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portalbus.schemas.findings import Finding
    from portalbus.schemas.schema_policy import Problem


class PortalbusError(Exception):
    """Base of all errors of the bus."""


class EventRefused(PortalbusError):
    """At least one rule refuses the event; nothing was stored or sent."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.explain() for finding in self.findings))

    @property
    def rule(self) -> str:
        """Id of the first rule that refused it: the one the centre would name."""
        return self.findings[0].rule


class UndecodableRecord(PortalbusError):
    """The bytes are not an event of ours; `rule` says in which way."""

    def __init__(self, rule: str, detail: str) -> None:
        self.rule = rule
        self.detail = detail
        super().__init__(f"{rule}: {detail}")


class ContractBroken(PortalbusError):
    """A changed schema may not become a version; `problems` names each record, field and reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class AgencyUnknown(PortalbusError):
    """There is no agency with this code on this date."""


class RegistryUnavailable(PortalbusError):
    """The schema registry did not answer; trying again later may help."""


class RegistryRefused(PortalbusError):
    """The schema registry refused the request; the message says why."""


class NotRegistered(RegistryRefused):
    """The schema registry does not hold it; it may tomorrow."""


class OutboxFull(PortalbusError):
    """The outbox holds as many undelivered events as it may; nothing was stored."""


class OutboxDamaged(PortalbusError):
    """The outbox file is unreadable, or older than what was already published from it."""


class OutboxUnavailable(PortalbusError):
    """The outbox file cannot be used now; nothing was stored, trying again may help."""


class PortalClosed(PortalbusError):
    """The portal was closed; make a new one."""
