"""Payloads that break a contract or a rule, each in one way: what every door of the bus has to refuse alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

from annotated_types import Ge, Le, MaxLen, MinLen
from fastavro import schemaless_reader
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from bus_events import envelope
from portal_events import directive, feedback
from portalbus.schemas import avro_files
from portalbus.schemas.codec import MAX_VALUE_BYTES, encode_envelope, encode_payload
from portalbus.schemas.models import FeedbackResolved, Outcome, Payload

MISSING = object()
LARGEST_BODY = MAX_VALUE_BYTES - 4_096
"""Beyond, a record meets the bound on its bytes before anybody looks at what it says."""
YEAR = timedelta(days=366)
NO_ADDRESS = ("", "hanoi.gov.vn", "ftp://hanoi.gov.vn/1", "https://", "https://a b", "https://u:p@hanoi.gov.vn/", "//x")
NO_TEXT = (5, True, ["a"], {"a": 1})
NO_NUMBER = ("three", [1], {"a": 1}, 1.5)


@dataclass(frozen=True)
class BadPayload:
    """A good payload with `changes` that nobody should take."""

    name: str
    base: Payload
    changes: Mapping[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """It, as JSON values."""
        found: dict[str, Any] = self.base.model_dump(mode="json")
        for field, value in self.changes.items():
            if value is MISSING:
                del found[field]
            else:
                found[field] = to_jsonable_python(value)
        return found

    @property
    def avro(self) -> bytes | None:
        """It, as a sender without SDK or gateway would put it on a lane.

        None when Avro has no place for it: fastavro raises, or writes something else (true as the number 1).
        """
        if MISSING in self.changes.values():
            return None
        try:
            body = encode_payload(self.base.model_copy(update=dict(self.changes)))
        except Exception:  # whatever fastavro says to a value that the schema has no place for
            return None
        stream = BytesIO(encode_envelope(envelope(1, "H26", 1)) + body)
        found: Any = schemaless_reader(stream, avro_files.parsed(self.base.event_type), None)
        if len(body) > LARGEST_BODY or not all(_same(value, found.get(name)) for name, value in self.changes.items()):
            return None
        return body


def _same(said: Any, read: Any) -> bool:
    if isinstance(said, datetime) and isinstance(read, datetime):
        return abs(said - read) < timedelta(seconds=1)
    return json.dumps(to_jsonable_python(said)) == json.dumps(to_jsonable_python(read))


def bad_payloads(agency: str = "H26") -> list[BadPayload]:
    """Some hundreds of them, always the same ones, as a portal of the agency would send them."""
    answer = FeedbackResolved(
        case_id=f"{agency}-2026-000001",
        outcome=Outcome.ANSWERED,
        answer="Đã sửa.",
        language="vi",
        answered_at=datetime.now(UTC),
    )
    bases: tuple[Payload, ...] = (directive(1), feedback(1, agency=agency), answer)
    found = [one for base in bases for one in _by_contract(base)]
    return [*found, *_by_rules(directive(1), feedback(1, agency=agency), answer)]


def _by_contract(base: Payload) -> Iterator[BadPayload]:
    def bad(what: str, **changes: Any) -> BadPayload:
        return BadPayload(f"{base.event_type}-{what}", base, changes)

    yield bad("unknown-field", surprise="x")
    for name, field in type(base).model_fields.items():
        if field.is_required():
            yield bad(f"{name}-missing", **{name: MISSING})
            yield bad(f"{name}-null", **{name: None})
        for number, value in enumerate(_wrong_values(getattr(base, name), field)):
            yield bad(f"{name}-wrong-{number}", **{name: value})


def _wrong_values(now: Any, field: FieldInfo) -> Iterator[Any]:
    """Values of the wrong kind, and those just beyond the bounds."""
    if isinstance(now, str):
        yield from NO_TEXT
    elif isinstance(now, bool):
        yield from ("perhaps", 7, [True])
    elif isinstance(now, int):
        yield from NO_NUMBER
    elif isinstance(now, datetime | date):
        yield from ("yesterday", {"day": 1}, True)
        if isinstance(now, datetime):
            yield now.replace(tzinfo=None).isoformat()
    elif isinstance(now, tuple):
        yield from ("H26", {"a": 1}, ["x"] * 300)
    for bound in field.metadata:
        if isinstance(bound, MaxLen) and isinstance(now, str | None):
            yield "ă" * (bound.max_length + 1)
        elif isinstance(bound, MinLen) and isinstance(now, str):
            yield ""
        elif isinstance(bound, Ge):
            yield int(str(bound.ge)) - 1
        elif isinstance(bound, Le):
            yield int(str(bound.le)) + 1
        elif getattr(bound, "pattern", None) and isinstance(now, str):
            yield "không đúng mẫu"


def _by_rules(document: Payload, received: Payload, answer: Payload) -> Iterator[BadPayload]:
    """Well-formed payloads that a rule refuses."""
    now = datetime.now(UTC)
    for level in ("RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP_SECRET"):
        yield BadPayload(f"classified-{level}", document, {"classification": level})
    for number, address in enumerate(NO_ADDRESS):
        yield BadPayload(f"address-{number}", document, {"canonical_url": address})
    for version in (2, 3, 99):
        yield BadPayload(f"publish-version-{version}", document, {"version": version})
    yield BadPayload("revise-version-1", document, {"action": "REVISE"})
    yield BadPayload("withdraw-without-reason", document, {"action": "WITHDRAW", "version": 2})
    for number, body in enumerate(("", " ", "\n\t")):
        yield BadPayload(f"no-body-{number}", document, {"body": body})
    for number, kind in enumerate(("XX", "", "ct", "không")):
        yield BadPayload(f"document-type-{number}", document, {"document_type": kind})
    dates = {"effective_on": date(2026, 12, 1), "expires_on": date(2026, 11, 1)}
    yield BadPayload("dates-backwards", document, dates)
    for number, mark in enumerate("\x00\x01\x07\x08\x0b\x0c\x1b\x7f\x80\x85\x9f"):
        yield BadPayload(f"control-{number}", document, {"title": f"Chỉ thị{mark}"})
        yield BadPayload(f"control-content-{number}", received, {"content": f"Đèn{mark} hỏng"})
        yield BadPayload(f"control-answer-{number}", answer, {"answer": f"Đã{mark} sửa"})
    for number, code in enumerate(("H99", "A00", "Y99", "H26x", "00.00.H26")):
        yield BadPayload(f"addressed-{number}", received, {"addressed_to": code})
    for number, case in enumerate(("H29-2026-000001", "G22-2026-000001", "H00.01-2026-1")):
        yield BadPayload(f"case-of-others-{number}", received, {"case_id": case})
    for number, moment in enumerate((now + 2 * YEAR, now + timedelta(days=2), datetime(1900, 1, 1, tzinfo=UTC))):
        yield BadPayload(f"received-{number}", received, {"received_at": moment})
        yield BadPayload(f"answered-{number}", answer, {"answered_at": moment})
    for outcome in ("REJECTED", "INSUFFICIENT_BASIS", "DIVERTED", "TRANSFERRED_OUT"):
        yield BadPayload(f"refusal-{outcome}", answer, {"outcome": outcome})
        yield BadPayload(
            f"refusal-short-{outcome}", answer, {"outcome": outcome, "reason_code": "LEGAL_QA", "reason_text": "no"}
        )
    for outcome in ("ANSWERED", "ACCEPTED_AMEND", "RECOMMENDED_TO_COMPETENT"):
        yield BadPayload(f"no-answer-{outcome}", answer, {"outcome": outcome, "answer": " "})
    yield BadPayload("competent-unknown", answer, {"competent_agency": "H99"})
