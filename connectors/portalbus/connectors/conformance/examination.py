"""All scenarios, one after the other, and what comes of them: a certificate, or what is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from portalbus.connectors.conformance.driven_portal import DriverFailed, NotOffered
from portalbus.connectors.conformance.judging import Fault, faults
from portalbus.connectors.conformance.running import Run
from portalbus.connectors.conformance.scenario import Scenario, edition


class Outcome(StrEnum):
    """How a scenario ended. What could not be shown is neither passed nor failed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SHOWN = "not-shown"


@dataclass(frozen=True)
class Result:
    """One scenario, how it ended, and why: what is wrong, or why it could not be shown."""

    scenario: Scenario
    outcome: Outcome
    faults: tuple[Fault, ...] = ()
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For programs, with all texts in all languages."""
        return {
            "scenario": self.scenario.id,
            "title": self.scenario.title.model_dump(),
            "why": self.scenario.why.model_dump(),
            "outcome": self.outcome.value,
            "seconds": round(self.seconds, 2),
            "faults": [
                {
                    "kind": fault.kind,
                    "advice": fault.advice,
                    "what": fault.message.model_dump(),
                    "mend": fault.mend.model_dump(),
                }
                for fault in self.faults
            ],
        }


@dataclass
class Examination:
    """What one portal showed. It conforms when something was shown and nothing failed.

    `edition` is the digest of the scenarios' files, `kit` this package with its version.
    """

    portal: str
    technology: str
    door: str
    at: datetime
    kit: str
    edition: str
    results: list[Result] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many scenarios ended in which way."""
        return {outcome.value: sum(result.outcome is outcome for result in self.results) for outcome in Outcome}

    @property
    def conforms(self) -> bool:
        """True when this is a certificate."""
        counts = self.counts()
        return counts[Outcome.FAILED] == 0 < counts[Outcome.PASSED]

    def as_json(self) -> dict[str, Any]:
        """The certificate, or the failures, for programs."""
        return {
            "conforms": self.conforms,
            "portal": self.portal,
            "technology": self.technology,
            "door": self.door,
            "at": self.at.isoformat(timespec="seconds"),
            "kit": self.kit,
            "scenarios": self.edition,
            "counts": self.counts(),
            "results": [result.as_json() for result in self.results],
        }


def examine(run: Run, wanted: Sequence[Scenario], heard: Callable[[Result], None] = lambda _: None) -> Examination:
    """Lives these scenarios. `heard` is told each result as it comes.

    Raises DriverFailed when the portal does not even say who it is.
    """
    who = run.connect()
    found = Examination(
        portal=_short(who.get("name"), "?"),
        technology=_short(who.get("technology"), "?"),
        door=run.door.name,
        at=datetime.now(UTC),
        kit=f"portalbus {version('portalbus')}",
        edition=edition(),
    )
    for result in _results(run, wanted):
        found.results.append(result)
        heard(result)
    return found


def new_run_name() -> str:
    """Stands in every id of a run, so that nothing of an earlier one is met."""
    return secrets.token_hex(3)


def _results(run: Run, wanted: Sequence[Scenario]) -> Iterator[Result]:
    for scenario in wanted:
        started = datetime.now(UTC)
        result = _result(run, scenario)
        seconds = (datetime.now(UTC) - started).total_seconds()
        yield replace(result, seconds=seconds)


def _result(run: Run, scenario: Scenario) -> Result:
    missing = sorted(scenario.disturbances - run.door.disturbances)
    if missing:
        return _not_shown(scenario, "door-cannot", door=run.door.name, what=", ".join(missing))
    if scenario.kills and not run.portal.can_be_killed:
        return _not_shown(scenario, "not-killed")
    try:
        found = tuple(faults(scenario, run.live(scenario)))
    except NotOffered as step:
        return _not_shown(scenario, "not-offered", step=str(step))
    except DriverFailed as failure:
        return Result(scenario, Outcome.FAILED, (Fault("driver", {"detail": str(failure)}),))
    failed = any(not fault.advice for fault in found)
    return Result(scenario, Outcome.FAILED if failed else Outcome.PASSED, found)


def _not_shown(scenario: Scenario, kind: str, **params: str) -> Result:
    return Result(scenario, Outcome.NOT_SHOWN, (Fault(kind, params),))


def _short(value: object, otherwise: str) -> str:
    text = value if isinstance(value, str) and value.isprintable() else otherwise
    return text[:100]
