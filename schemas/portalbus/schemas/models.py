"""The records of the bus as typed, frozen models.

The Avro files in `avro/` are the truth; `tests/contract/test_models_equal_avro.py` holds these models equal to
them in both directions. A portal writes payloads (`DirectivePublished` …); the envelope is given by the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from portalbus.schemas.computed import computed
from portalbus.schemas.spelling import AGENCY, CASE_ID, PORTAL

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, Field(max_length=2_000)]
Line = Annotated[str, Field(min_length=1, max_length=1_000)]
AgencyCode = Annotated[str, Field(max_length=35, pattern=AGENCY)]
PortalId = Annotated[str, Field(pattern=PORTAL)]
EventId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
PublicCode = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{12}$")]
CaseId = Annotated[str, Field(pattern=CASE_ID)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]


MOST_RECIPIENTS = 200
MOST_LISTED = 100
"""Attachments, and relations, of one directive."""

MOST_CHILDREN = 20
"""Cases that a mixed one is split into."""

MOST_STATED = 4_000
"""Buckets, or events of a bucket, in one statement: more than fit into the largest value when they are right."""


def _at_most(count: int) -> BeforeValidator:
    """Refuses a longer list before its items are looked at: each of 260,000 wrong ones would be an error of its own."""

    def check(value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) > count:
            told = {"field_type": "Tuple", "max_length": count, "actual_length": len(value)}
            raise PydanticKnownError("too_long", told)
        return value

    return BeforeValidator(check)


class DirectiveAction(StrEnum):
    """What was done with a directive."""

    PUBLISH = "PUBLISH"
    REVISE = "REVISE"
    WITHDRAW = "WITHDRAW"


class BodyFormat(StrEnum):
    """How a directive's body is written."""

    TEXT = "TEXT"
    HTML = "HTML"


class DocumentUrgency(StrEnum):
    """Urgency marks of Decree 30/2020."""

    NORMAL = "NORMAL"
    KHAN = "KHAN"
    THUONG_KHAN = "THUONG_KHAN"
    HOA_TOC = "HOA_TOC"


class Classification(StrEnum):
    """Degree of secrecy; only PUBLIC may enter the bus."""

    PUBLIC = "PUBLIC"
    RESTRICTED = "RESTRICTED"
    CONFIDENTIAL = "CONFIDENTIAL"
    SECRET = "SECRET"  # noqa: S105 - a degree of secrecy
    TOP_SECRET = "TOP_SECRET"  # noqa: S105


class RelationKind(StrEnum):
    """How a document bears on another one."""

    REPLACES = "REPLACES"
    AMENDS = "AMENDS"
    REPEALS = "REPEALS"
    CORRECTS = "CORRECTS"
    TRANSLATES = "TRANSLATES"
    RELATES_TO = "RELATES_TO"


class Channel(StrEnum):
    """How a feedback came in."""

    WEB = "WEB"
    APP = "APP"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    POST = "POST"
    IN_PERSON = "IN_PERSON"
    OTHER = "OTHER"


class CaseUrgency(StrEnum):
    """Urgency of a case."""

    NORMAL = "NORMAL"
    URGENT = "URGENT"


class Outcome(StrEnum):
    """How a case ended."""

    ANSWERED = "ANSWERED"
    ACCEPTED_AMEND = "ACCEPTED_AMEND"
    RECOMMENDED_TO_COMPETENT = "RECOMMENDED_TO_COMPETENT"
    INSUFFICIENT_BASIS = "INSUFFICIENT_BASIS"
    REJECTED = "REJECTED"
    TRANSFERRED_OUT = "TRANSFERRED_OUT"
    DIVERTED = "DIVERTED"
    WITHDRAWN = "WITHDRAWN"


class RefusalReason(StrEnum):
    """Why a case was refused."""

    NOT_VIETNAMESE = "NOT_VIETNAMESE"
    MISSING_IDENTITY = "MISSING_IDENTITY"
    UNCLEAR_CONTENT = "UNCLEAR_CONTENT"
    OUT_OF_SCOPE_COMPLAINT = "OUT_OF_SCOPE_COMPLAINT"
    OUT_OF_SCOPE_DENUNCIATION = "OUT_OF_SCOPE_DENUNCIATION"
    LEGAL_QA = "LEGAL_QA"
    DUPLICATE = "DUPLICATE"
    ALREADY_ANSWERED_NO_NEW_FACTS = "ALREADY_ANSWERED_NO_NEW_FACTS"
    COURT_OR_OTHER_PROCEDURE = "COURT_OR_OTHER_PROCEDURE"
    ALREADY_WITH_COMPETENT_BODY = "ALREADY_WITH_COMPETENT_BODY"
    NO_LEGAL_CAPACITY_OR_MANDATE = "NO_LEGAL_CAPACITY_OR_MANDATE"
    STATE_SECRET = "STATE_SECRET"  # noqa: S105 - a reason
    ABUSIVE_OR_SPAM = "ABUSIVE_OR_SPAM"
    OTHER_GROUND = "OTHER_GROUND"


class Diversion(StrEnum):
    """The other procedure that a case belongs to."""

    COMPLAINT = "COMPLAINT"
    DENUNCIATION = "DENUNCIATION"


class CaseStep(StrEnum):
    """What happened to a case between its receipt and its end, or after it."""

    ACCEPTED = "ACCEPTED"
    CLASSIFIED = "CLASSIFIED"
    TRANSFERRED = "TRANSFERRED"
    EXTENDED = "EXTENDED"
    CLARIFICATION_ASKED = "CLARIFICATION_ASKED"
    CLARIFICATION_GIVEN = "CLARIFICATION_GIVEN"
    ANSWER_RETURNED = "ANSWER_RETURNED"
    REOPENED = "REOPENED"
    WITHDRAWN = "WITHDRAWN"
    SPLIT = "SPLIT"
    DIVERTED = "DIVERTED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    PROGRESS_TOLD = "PROGRESS_TOLD"
    URGENCY_CHANGED = "URGENCY_CHANGED"
    PUBLISHED = "PUBLISHED"
    RATED = "RATED"


class VerdictStatus(StrEnum):
    """What the centre decided on one record."""

    ACCEPTED = "ACCEPTED"
    WAITING = "WAITING"
    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"
    PARKED = "PARKED"


class Model(BaseModel):
    """Base of all records: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Envelope(Model):
    """Who says it, where it stands in the order of its source, and when."""

    id: EventId
    agency: AgencyCode
    portal: PortalId
    epoch: Positive
    sequence: Annotated[int, Field(ge=1)]
    occurred_at: AwareDatetime
    published_at: AwareDatetime
    correlation_id: Annotated[str, Field(max_length=128)] | None = None
    causation_id: EventId | None = None

    @property
    def source(self) -> str:
        """Agency and portal: `H26/www`."""
        return f"{self.agency}/{self.portal}"


class Attachment(Model):
    """A file that belongs to a directive; size in bytes."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    url: Url
    media_type: Annotated[str, Field(max_length=127, pattern=r"^[\w.+-]+/[\w.+-]+$")]
    size: Annotated[int, Field(ge=0, le=2**40)]
    sha256: Sha256


class Relation(Model):
    """How a directive bears on another document."""

    kind: RelationKind
    target: Annotated[str, Field(min_length=1, max_length=200)]


class DirectivePublished(Model):
    """A directive was published, revised or withdrawn by the portal of its issuer."""

    event_type: ClassVar[Literal["DirectivePublished"]] = "DirectivePublished"

    action: DirectiveAction
    directive_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$")]
    version: Positive
    number: Annotated[str, Field(max_length=100)]
    document_type: Annotated[str, Field(max_length=20)]
    title: Line
    abstract: Annotated[str, Field(max_length=5_000)] | None = None
    body: Annotated[str, Field(max_length=200_000)]
    body_format: BodyFormat
    language: Language
    field: Annotated[str, Field(max_length=100)] | None = None
    issued_on: date
    effective_on: date | None = None
    expires_on: date | None = None
    signer: Annotated[str, Field(max_length=200)] | None = None
    urgency: DocumentUrgency = DocumentUrgency.NORMAL
    classification: Classification = Classification.PUBLIC
    recipients: Annotated[tuple[AgencyCode, ...], Field(max_length=MOST_RECIPIENTS), _at_most(MOST_RECIPIENTS)] = ()
    attachments: Annotated[tuple[Attachment, ...], Field(max_length=MOST_LISTED), _at_most(MOST_LISTED)] = ()
    relations: Annotated[tuple[Relation, ...], Field(max_length=MOST_LISTED), _at_most(MOST_LISTED)] = ()
    canonical_url: Url
    withdrawal_reason: Annotated[str, Field(max_length=2_000)] | None = None


class FeedbackReceived(Model):
    """A portal received a feedback; the text is redacted, the person stays at the portal."""

    event_type: ClassVar[Literal["FeedbackReceived"]] = "FeedbackReceived"

    case_id: CaseId
    public_code: PublicCode
    regime: Annotated[str, Field(pattern=r"^R[1-7]$")]
    category: Annotated[int, Field(ge=1, le=8)]
    channel: Channel
    received_at: AwareDatetime
    addressed_to: AgencyCode
    field: Annotated[str, Field(max_length=100)] | None = None
    area: Annotated[str, Field(pattern=r"^[0-9]{2}$")] | None = None
    urgency: CaseUrgency = CaseUrgency.NORMAL
    subject: Annotated[str, Field(max_length=500)]
    content: Annotated[str, Field(max_length=20_000)]
    language: Language
    pseudonym: Annotated[str, Field(max_length=64)] | None = None
    diverted: Diversion | None = None


class FeedbackResolved(Model):
    """An agency answered or refused a feedback."""

    event_type: ClassVar[Literal["FeedbackResolved"]] = "FeedbackResolved"

    case_id: CaseId
    outcome: Outcome
    reason_code: RefusalReason | None = None
    reason_text: Annotated[str, Field(max_length=5_000)] | None = None
    legal_basis: Annotated[str, Field(max_length=500)] | None = None
    competent_agency: AgencyCode | None = None
    answer: Annotated[str, Field(max_length=50_000)] | None = None
    language: Language
    answered_at: AwareDatetime
    public: bool = True


class FeedbackProgressed(Model):
    """A step in the life of a case; which step needs which field is a matter of the rules."""

    event_type: ClassVar[Literal["FeedbackProgressed"]] = "FeedbackProgressed"

    case_id: CaseId
    step: CaseStep
    at: AwareDatetime
    to_agency: AgencyCode | None = None
    reason: Annotated[str, Field(max_length=2_000)] | None = None
    due_on: date | None = None
    urgency: CaseUrgency | None = None
    satisfaction: Annotated[int, Field(ge=1, le=5)] | None = None
    children: Annotated[tuple[CaseId, ...], Field(max_length=MOST_CHILDREN), _at_most(MOST_CHILDREN)] = ()
    legal_basis: Annotated[str, Field(max_length=500)] | None = None


class Canary(Model):
    """A source's sign of life: it goes the way of every event, comes back as a verdict, and is shown to nobody."""

    event_type: ClassVar[Literal["Canary"]] = "Canary"

    interval_s: Positive
    returned_id: EventId | None = None
    round_trip_ms: Annotated[int, Field(ge=0)] | None = None
    unreturned: Annotated[int, Field(ge=0)] = 0


Payload = DirectivePublished | FeedbackReceived | FeedbackResolved | FeedbackProgressed | Canary
"""What a portal may publish."""

PAYLOADS: dict[str, type[Payload]] = {
    model.event_type: model
    for model in (DirectivePublished, FeedbackReceived, FeedbackResolved, FeedbackProgressed, Canary)
}


@dataclass(frozen=True)
class Event:
    """One event: its envelope and what it says, both valid already."""

    envelope: Envelope
    payload: Payload

    @computed
    def key(self) -> str:
        """The aggregate it belongs to: directive key or case id; also the record's key in Kafka."""
        return aggregate_key(self.envelope.agency, self.payload)


class Texts(Model):
    """One text in the three languages of the bus."""

    vi: str
    en: str
    zh: str


class Verdict(Model):
    """What the centre decided on one record of a lane."""

    event_name: ClassVar[Literal["Verdict"]] = "Verdict"

    agency: AgencyCode
    lane: str
    offset: int
    event_id: str | None
    event_type: str | None
    portal: str | None
    epoch: Positive | None
    sequence: int | None
    key: str | None
    status: VerdictStatus
    final: bool
    rule: str
    path: str | None
    message: Texts
    mend: Texts | None
    judged_at: AwareDatetime


class Bucket(Model):
    """Count and digest of one event type on one day of a source."""

    day: date
    event_type: str
    count: Annotated[int, Field(ge=0)]
    digest: Sha256


class SourceManifest(Model):
    """What a source has published so far; its heartbeat."""

    event_name: ClassVar[Literal["SourceManifest"]] = "SourceManifest"

    id: EventId
    agency: AgencyCode
    portal: PortalId
    epoch: Positive
    first_sequence: Annotated[int, Field(ge=0)]
    last_sequence: Annotated[int, Field(ge=0)]
    delivered_sequence: Annotated[int, Field(ge=0)]
    buckets: Annotated[tuple[Bucket, ...], _at_most(MOST_STATED)] = ()
    sent_at: AwareDatetime
    sdk: Annotated[str, Field(max_length=100)]
    interval_s: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    canary_s: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class BucketEvent(Model):
    """One event of a bucket; `delivered` is False while the broker has not acknowledged it."""

    id: EventId
    sequence: Annotated[int, Field(ge=1)]
    content_hash: Sha256
    delivered: bool = True


class BucketContents(Model):
    """The events of one bucket of a source with sequences from `first` to `last`: these and no others."""

    event_name: ClassVar[Literal["BucketContents"]] = "BucketContents"

    id: EventId
    agency: AgencyCode
    portal: PortalId
    epoch: Positive
    day: date
    event_type: Annotated[str, Field(max_length=100)]
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=0)]
    events: Annotated[tuple[BucketEvent, ...], _at_most(MOST_STATED)] = ()
    sent_at: AwareDatetime


SourceStatement = SourceManifest | BucketContents
"""What a source says of itself on its lane; it is no event."""

STATEMENTS: dict[str, type[SourceStatement]] = {model.event_name: model for model in (SourceManifest, BucketContents)}


def aggregate_key(agency: str, payload: Payload) -> str:
    """Key of the aggregate: `<agency>/<directive_id>` for a directive, the case id for a case.

    A canary belongs to none; its key is one that no directive can have.
    """
    if isinstance(payload, DirectivePublished):
        return f"{agency}/{payload.directive_id}"
    return f"{agency}/~canary" if isinstance(payload, Canary) else payload.case_id
