"""The stateless rules: the same code in the SDK, the gateway and the processor.

A rule looks at one event alone, with the directory and the time as parameters. The order of `RULES` is the order
of importance: the first finding is the one the centre names in its verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from portalbus.schemas.case_rules import receipt_has_text, refusal_has_reason, step_is_complete
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.facts import VIET_NAM as VIET_NAM
from portalbus.schemas.facts import Facts as Facts
from portalbus.schemas.facts import Rule, agency_exists
from portalbus.schemas.findings import Finding
from portalbus.schemas.identifiers import is_guessable
from portalbus.schemas.models import (
    Canary,
    Classification,
    DirectiveAction,
    DirectivePublished,
    Event,
    FeedbackProgressed,
    FeedbackReceived,
    FeedbackResolved,
)

EARLIEST_YEAR = 1945
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but newline and tab (category Cc), and halves of surrogate pairs (Cs)."""
ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f<>\"\\]+", re.IGNORECASE)
CODE_LIKE = re.compile(r"[A-Z0-9-]{1,20}")
MAX_PLACE_CHARACTERS = 64


def findings(event: Event, facts: Facts) -> Iterator[Finding]:
    """Everything the stateless rules have against an event, by those in force that day, most important first."""
    for rule in RULES[type(event.payload)]:
        for finding in rule(event, facts):
            if catalogue()[finding.rule].holds_on(facts.today):
                yield finding


def agency_known(event: Event, facts: Facts) -> Iterator[Finding]:
    """The speaking agency exists."""
    yield from agency_exists(event.envelope.agency, "/envelope/agency", facts)


def classified_refused(event: Event, facts: Facts) -> Iterator[Finding]:
    """A classified document never enters the bus."""
    payload = event.payload
    if isinstance(payload, DirectivePublished) and payload.classification is not Classification.PUBLIC:
        yield Finding("directive.classified", "/classification", {"classification": payload.classification.value})


def times_plausible(event: Event, facts: Facts) -> Iterator[Finding]:
    """Nothing happens further ahead of the judge's clock than may be at this door, or before there was a state."""
    latest = facts.now + facts.ahead
    for path, moment in _moments(event):
        if moment > latest or moment.year < EARLIEST_YEAR:
            yield Finding("time.implausible", path, {"time": moment.isoformat(timespec="seconds")})


def directive_is_complete(event: Event, facts: Facts) -> Iterator[Finding]:
    """A directive has what its action needs."""
    payload = event.payload
    if not isinstance(payload, DirectivePublished):
        return
    if payload.action is DirectiveAction.WITHDRAW:
        if not (payload.withdrawal_reason or "").strip():
            yield Finding("directive.withdrawal-needs-reason", "/withdrawal_reason")
    elif not payload.body.strip():
        yield Finding("directive.body-empty", "/body")
    if payload.document_type not in document_types():
        shown = payload.document_type if CODE_LIKE.fullmatch(payload.document_type) else "…"
        yield Finding("directive.type-unknown", "/document_type", {"code": shown})
    if (payload.action is DirectiveAction.PUBLISH) != (payload.version == 1):
        yield Finding("directive.version-action", "/version", {"version": str(payload.version)})
    if payload.effective_on and payload.expires_on and payload.expires_on < payload.effective_on:
        yield Finding("directive.dates-order", "/expires_on")


def addresses_are_web(event: Event, facts: Facts) -> Iterator[Finding]:
    """Every address is http or https and names a host."""
    payload = event.payload
    if not isinstance(payload, DirectivePublished):
        return
    places = [("/canonical_url", payload.canonical_url)]
    places += [(f"/attachments/{index}/url", item.url) for index, item in enumerate(payload.attachments)]
    for path, address in places:
        if not is_web_address(address):
            yield Finding("text.address-not-web", path)


def case_names_its_receiver(event: Event, facts: Facts) -> Iterator[Finding]:
    """A case id begins with the code of the agency that received it, so nobody can take another's ids."""
    payload, agency = event.payload, event.envelope.agency
    if isinstance(payload, FeedbackReceived):
        if not payload.case_id.startswith(f"{agency}-"):
            yield Finding("case.id-names-receiver", "/case_id", {"agency": agency})
        yield from agency_exists(payload.addressed_to, "/addressed_to", facts)


def code_is_random(event: Event, facts: Facts) -> Iterator[Finding]:
    """Whoever knows one public code must not find another: it was drawn by chance."""
    if isinstance(event.payload, FeedbackReceived) and is_guessable(event.payload.public_code):
        yield Finding("case.public-code-guessable", "/public_code")


def text_is_clean(event: Event, facts: Facts) -> Iterator[Finding]:
    """Text is NFC and holds no control characters but newline and tab."""
    # Nearly every event is clean, so all its texts are looked at as one; a space composes with nothing.
    if _is_clean(" ".join(plain_texts(event.payload))):
        return
    for path, text in texts_of(event.payload):
        if not unicodedata.is_normalized("NFC", text):
            yield Finding("text.not-nfc", path)
        if CONTROL.search(text):
            yield Finding("text.control-character", path)


RULES: Mapping[type[BaseModel], tuple[Rule, ...]] = {
    DirectivePublished: (
        agency_known,
        classified_refused,
        directive_is_complete,
        times_plausible,
        addresses_are_web,
        text_is_clean,
    ),
    FeedbackReceived: (
        agency_known,
        receipt_has_text,
        case_names_its_receiver,
        code_is_random,
        times_plausible,
        text_is_clean,
    ),
    FeedbackResolved: (agency_known, refusal_has_reason, times_plausible, text_is_clean),
    FeedbackProgressed: (agency_known, step_is_complete, times_plausible, text_is_clean),
    Canary: (agency_known, times_plausible, text_is_clean),
}
"""The rules of each event type, in the order of importance."""


def shape_findings(error: ValidationError) -> tuple[Finding, ...]:
    """A model's validation error as findings: one per field at fault, with the rule's own words."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        rule = SHAPE_RULES.get(item["type"], "schema.value")
        path = "".join(f"/{_place(part)}" for part in item["loc"])
        found.append(Finding(rule, path, {"field": path, "bound": _bound(item)}))
    return tuple(found)


def _bound(item: ErrorDetails) -> str:
    """What the contract asks of a field, as far as it needs no words: a number, a pattern, the values allowed."""
    asked = item.get("ctx", {})
    for name in ("expected", "max_length", "pattern", "ge", "le"):
        if name in asked:
            return str(asked[name]).replace(" or ", ", ")
    return item["type"]


SHAPE_RULES = {
    "missing": "schema.field-missing",
    "extra_forbidden": "schema.field-unknown",
    "enum": "schema.value-not-allowed",
    "literal_error": "schema.value-not-allowed",
    "string_too_long": "schema.too-long",
    "too_long": "schema.too-long",
    "string_too_short": "schema.empty",
    "string_pattern_mismatch": "schema.format",
    "timezone_aware": "schema.time-without-zone",
}


def texts_of(record: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a record with its JSON pointer, also inside nested records and lists."""
    for name, value in record.__dict__.items():
        if type(value) is str:
            yield f"{prefix}/{name}", value
        elif type(value) is tuple:
            for index, item in enumerate(value):
                if type(item) is str:
                    yield f"{prefix}/{name}/{index}", item
                else:
                    yield from texts_of(item, f"{prefix}/{name}/{index}")


def is_web_address(address: str) -> bool:
    """True for an absolute http or https address without credentials, spaces or a port that is none."""
    if not ADDRESS.fullmatch(address):  # urlsplit itself drops line breaks and leading spaces without a word
        return False
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.username is None and parts.port != 0  # a bad port raises
    except ValueError:
        return False


@lru_cache(maxsize=1)
def document_types() -> frozenset[str]:
    """Codes of the document types in `data/document_types.csv`."""
    text = files("portalbus.schemas").joinpath("data/document_types.csv").read_text(encoding="utf-8")
    return frozenset(line.split(",", 1)[0] for line in text.splitlines()[1:])


def _moments(event: Event) -> Iterator[tuple[str, datetime]]:
    yield "/envelope/occurred_at", event.envelope.occurred_at
    if isinstance(event.payload, FeedbackReceived):
        yield "/received_at", event.payload.received_at
    elif isinstance(event.payload, FeedbackResolved):
        yield "/answered_at", event.payload.answered_at
    elif isinstance(event.payload, FeedbackProgressed):
        yield "/at", event.payload.at


def plain_texts(record: BaseModel) -> list[str]:
    """The texts of `texts_of`, without their places: twice as fast."""
    values = record.__dict__.values()
    found = [value for value in values if type(value) is str]
    if type(record) is DirectivePublished:  # the only one with lists
        for value in values:
            if type(value) is tuple:
                for item in value:
                    found.extend((item,) if type(item) is str else plain_texts(item))
    return found


def _is_clean(text: str) -> bool:
    # What can be printed holds no control character; that is known much sooner than the expression knows it.
    return unicodedata.is_normalized("NFC", text) and (text.isprintable() or CONTROL.search(text) is None)


def _place(part: str | int) -> str:
    """One step of a JSON pointer (RFC 6901). An unknown field's name is the sender's text, so it is bounded."""
    text = str(part).replace("~", "~0").replace("/", "~1")[:MAX_PLACE_CHARACTERS]
    return text if text.isprintable() else "…"
