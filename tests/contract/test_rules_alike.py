"""What is wrong with a feedback is found by the same rule, in the same words, at SDK, gateway and processor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError

from bus_events import SCHEMA_IDS, Lane, writers
from memory_ledger import MemoryLedger
from portalbus.connectors.gateway.judging import Refused, judged
from portalbus.connectors.gateway.keys import ApiKey
from portalbus.producers.draft import Drafter
from portalbus.schemas import example_files
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.codec import encode_envelope, encode_payload, frame, read
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.example_files import Example
from portalbus.schemas.findings import Finding
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import PAYLOADS
from portalbus.schemas.rules import shape_findings
from portalbus.streams.judgement.docket import Content

MENDED = ("not-nfc", "with-carriage-return")
"""The SDK and the gateway put right how a text is written, and say nothing."""
NO_SUCH_BYTES = frozenset(
    {"schema.field-missing", "schema.field-unknown", "schema.value-not-allowed", "schema.time-without-zone"}
)
"""Avro has no bytes for these, nor for a truth that is none: a record with them cannot be on a lane."""
EXAMPLES = [one for one in example_files.invalid() if one.record.startswith("Feedback")]


def of_today(example: Example) -> dict[str, Any]:
    """The payload; a moment that was too far ahead when it was written is so today too."""
    said = dict(example.document["payload"])
    name = example.path.strip("/")
    if example.rule == "time.implausible" and said[name] > "2000":
        said[name] = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    return said


def told(rule: str, params: Mapping[str, str]) -> str:
    return catalogue()[rule].message(params).vi


def at_the_sdk(example: Example, agency: str) -> Finding | None:
    """What the SDK has against it: a portal makes a payload, and publishes it."""
    try:
        payload = PAYLOADS[example.record].model_validate(of_today(example))
    except ValidationError as error:
        return shape_findings(error)[0]
    try:
        Drafter(agency, "www").draft(payload)
    except EventRefused as error:
        return error.findings[0]
    return None


def at_the_gateway(example: Example, agency: str) -> Finding | None:
    """What the gateway has against it; its paths lie in the data of the CloudEvent."""
    said = {
        "specversion": "1.0",
        "id": new_event_id(),
        "source": f"/{agency}/www",
        "type": f"portalbus.events.{example.record}",
        "data": of_today(example),
    }
    found = judged(said, ApiKey("0" * 12, agency, "www", "", None, datetime.now(UTC), None), 1_000)
    if not isinstance(found, Refused):
        return None
    finding = found.findings[0]
    assert finding.path is not None and finding.path.startswith("/data/")
    return Finding(finding.rule, finding.path.removeprefix("/data"), finding.params)


def on_the_lane(example: Example, lane: Lane) -> Content:
    """It as it can be on a lane: written by a program that checks nothing."""
    model = PAYLOADS[example.record]
    valid = next(one for one in example_files.valid() if one.record == example.record).document["payload"]
    said = of_today(example)
    values: dict[str, Any] = {}
    for name, value in said.items():
        try:
            values[name] = getattr(model.model_validate({**valid, name: value}), name)
        except ValidationError:
            values[name] = value
    payload = model.model_construct(**values)
    body = encode_envelope(lane.next_envelope()) + encode_payload(payload)
    return cast(Content, read(frame(SCHEMA_IDS[example.record], body), writers()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_a_feedback_is_refused_alike_at_every_door(example: Example) -> None:
    agency = example.document["envelope"]["agency"]
    sdk, gateway = at_the_sdk(example, agency), at_the_gateway(example, agency)
    if example.name.endswith(MENDED):
        assert (sdk, gateway) == (None, None)
    else:
        assert sdk is not None and gateway is not None
        assert (sdk.rule, sdk.path) == (gateway.rule, gateway.path) == (example.rule, example.path)
        assert told(gateway.rule, gateway.params) == told(sdk.rule, sdk.params)
    if example.rule in NO_SUCH_BYTES or example.name == "public-perhaps":
        return
    lane = Lane(agency)
    lane.now = datetime.now(UTC)
    ledger = MemoryLedger()
    (entry,) = ledger.take(lane.put(on_the_lane(example, lane), value=b""))
    decision = entry.decision
    assert (decision.status.value, decision.rule, decision.path) == ("REJECTED", example.rule, example.path)
    if sdk is not None:
        assert told(decision.rule, decision.params) == told(sdk.rule, sdk.params)
    assert entry.canonical is None, "nothing of it goes on"
