"""What the centre says that is no verdict, as typed, frozen models.

A notice to a source lies in `verdict.<agency>` under the key `<agency>/<portal>`. The Avro files are the truth here
too: `tests/contract/test_models_equal_avro.py` holds them equal.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from portalbus.schemas.models import AgencyCode, EventId, Model, PortalId, Positive, Texts, Verdict


class ResendRequested(Model):
    """The centre asks a source to send a range of its events again; `reason` is a rule id."""

    event_name: ClassVar[Literal["ResendRequested"]] = "ResendRequested"

    agency: AgencyCode
    portal: PortalId
    epoch: Positive
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(min_length=1, max_length=100)]
    requested_at: AwareDatetime


class DigestRequested(Model):
    """The centre asks a source what lies in a bucket, from the sequence `first` on."""

    event_name: ClassVar[Literal["DigestRequested"]] = "DigestRequested"

    agency: AgencyCode
    portal: PortalId
    epoch: Positive
    day: date
    event_type: Annotated[str, Field(max_length=100)]
    first: Annotated[int, Field(ge=1)] = 1
    requested_at: AwareDatetime


class AlertStatus(StrEnum):
    """Whether an alert holds."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Alert(Model):
    """Something that people have to look at, and later the same alert again when it is over."""

    event_name: ClassVar[Literal["Alert"]] = "Alert"

    id: EventId
    kind: Annotated[str, Field(min_length=1, max_length=100)]
    status: AlertStatus
    agency: AgencyCode | None = None
    portal: PortalId | None = None
    event_type: Annotated[str, Field(max_length=100)] | None = None
    since: AwareDatetime
    expected_by: AwareDatetime | None = None
    raised_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    message: Texts


NOTICES: dict[str, type[Model]] = {model.__name__: model for model in (Alert, ResendRequested, DigestRequested)}
"""Every notice by the name of its Avro record."""

CENTRE_RECORDS: dict[str, type[Model]] = {"Verdict": Verdict, **NOTICES}
"""Everything that the centre itself says."""


def source_key(agency: str, portal: str) -> str:
    """The key of a notice to a source: `H26/www`."""
    return f"{agency}/{portal}"
