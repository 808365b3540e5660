"""Errors as a program and its developer should see them: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from portalbus.connectors.gateway.examples_of_fields import right_value
from portalbus.schemas.catalogue import Rule, catalogue
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Texts

MEDIA_TYPE = "application/problem+json"
RULES_PAGE = "/docs/rules"
MOST_FAULTS = 20
AGENCY_MISMATCH = "lane.agency-mismatch"
ID_REUSED = "event.id-reused"
STATUS_OF_RULE = {AGENCY_MISMATCH: 403, ID_REUSED: 409}
RULE_BROKEN = 422


class Fault(BaseModel):
    """One reason why an event was refused."""

    rule: str = Field(description="Id of the rule; the same at every door of the bus.")
    pointer: str = Field(description="Where: a JSON pointer (RFC 6901) into the CloudEvent in its JSON form.")
    detail: str = Field(description="What is wrong, in the language asked for.")
    mend: str | None = Field(description="How to mend it, in the language asked for.")
    example: Any = Field(None, description="A value that would be right there, when one is known.")


class Problem(BaseModel):
    """An error (RFC 9457), in the language that `Accept-Language` asks for: vi, en or zh."""

    type: str = Field(description="Where the rule is explained.")
    title: str = Field(description="What is wrong.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, and how to mend it.")
    rule: str = Field(description="Id of the rule that refused it first.")
    errors: list[Fault] = Field(description="Every reason, when an event was refused; the first twenty.")


@dataclass
class Refusal(Exception):
    """A request that is refused as a whole: by the gateway's own rule, or for what is wrong with its event."""

    rule: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return own_problems()[self.rule][0]


@lru_cache(maxsize=1)
def own_problems() -> Mapping[str, tuple[int, Rule]]:
    """The gateway's own problems: status and texts, by id."""
    table = tomllib.loads(files(__package__).joinpath("problems.toml").read_text(encoding="utf-8"))
    return {name: (row["status"], Rule(name, row["what"], row["mend"], None)) for name, row in table.items()}


def status_of(findings: Sequence[Finding]) -> int:
    """The HTTP status of an event that rules refuse; the first one decides."""
    rule = findings[0].rule
    return own_problems()[rule][0] if rule in own_problems() else STATUS_OF_RULE.get(rule, RULE_BROKEN)


def problem_of_event(
    findings: Sequence[Finding], event_type: str | None, language: str, *, most: int = MOST_FAULTS
) -> dict[str, Any]:
    """What is wrong with an event. The findings' paths are pointers into the CloudEvent."""
    faults = [_fault(finding, event_type, language) for finding in findings[:most]]
    first = faults[0]
    return {
        "type": f"{RULES_PAGE}#{first['rule']}",
        "title": first["detail"],
        "status": status_of(findings),
        "detail": _sentence(first["detail"], first["mend"]),
        "rule": first["rule"],
        "errors": faults,
    }


def problem_of_request(rule: str, params: Mapping[str, str], language: str) -> dict[str, Any]:
    """What is wrong with a request, by the gateway's own rules."""
    status, texts = own_problems()[rule]
    title = getattr(texts.message(params), language)
    return {
        "type": f"{RULES_PAGE}#{rule}",
        "title": title,
        "status": status,
        "detail": _sentence(title, _in(texts.mend(params), language)),
        "rule": rule,
        "errors": [],
    }


def problem_response(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The response of a problem."""
    return Response(to_json(problem), problem["status"], dict(headers or {}), MEDIA_TYPE)


def to_json(value: Any) -> bytes:
    """Compact JSON, the same bytes for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _fault(finding: Finding, event_type: str | None, language: str) -> dict[str, Any]:
    known = catalogue().get(finding.rule) or own_problems()[finding.rule][1]
    return {
        "rule": finding.rule,
        "pointer": f"#{finding.path}",
        "detail": getattr(known.message(finding.params), language),
        "mend": _in(known.mend(finding.params), language),
        "example": right_value(event_type, finding.path),
    }


def _in(texts: Texts | None, language: str) -> str | None:
    return None if texts is None else str(getattr(texts, language))


def _sentence(what: str, mend: str | None) -> str:
    return f"{what} {mend}" if mend else what
