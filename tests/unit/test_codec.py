"""Bytes become exactly the event that was encoded, or an UndecodableRecord; there is no third way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalbus.schemas import avro_files, codec, example_files, rules
from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import (
    PAYLOADS,
    STATEMENTS,
    Attachment,
    BodyFormat,
    CaseUrgency,
    Channel,
    Classification,
    DirectiveAction,
    DirectivePublished,
    DocumentUrgency,
    Envelope,
    Event,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
    Payload,
    RefusalReason,
    Relation,
    RelationKind,
    SourceManifest,
)
from portalbus.schemas.rules import Facts

IDS = {name: number for number, name in enumerate(avro_files.LANE_TYPES, start=40_001)}
WRITERS = WriterSchemas({IDS[name]: (name, avro_files.current(name).raw) for name in avro_files.LANE_TYPES})
FACTS = Facts(AgencyDirectory.read(), datetime(2026, 11, 22, 8, 0, tzinfo=UTC))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
optional_texts = st.none() | texts
codes = st.from_regex(r"[A-Y][0-9]{2}(\.[A-Z0-9]{1,4}){0,2}", fullmatch=True)
languages = st.sampled_from(["vi", "en", "zh", "ja", "zh-Hans"])
moments = st.integers(-(10**12), 10**13).map(lambda millis: EPOCH + timedelta(milliseconds=millis))
days = st.dates(date(1900, 1, 1), date(2200, 1, 1))
event_ids = st.uuids().map(str)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
case_ids = st.from_regex(r"[A-Y][0-9]{2}-[A-Za-z0-9-]{4,20}", fullmatch=True)

envelopes = st.builds(
    Envelope,
    id=event_ids,
    agency=codes,
    portal=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    epoch=st.integers(1, 2**31 - 1),
    sequence=st.integers(1, 2**63 - 1),
    occurred_at=moments,
    published_at=moments,
    correlation_id=optional_texts,
    causation_id=st.none() | event_ids,
)
attachments = st.builds(
    Attachment,
    name=texts,
    url=texts,
    media_type=st.sampled_from(["application/pdf", "image/svg+xml"]),
    size=st.integers(0, 2**40),
    sha256=digests,
)
directives = st.builds(
    DirectivePublished,
    action=st.sampled_from(DirectiveAction),
    directive_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,40}", fullmatch=True),
    version=st.integers(1, 2**31 - 1),
    number=texts,
    document_type=st.sampled_from(["CT", "QD", "TIN"]),
    title=texts,
    abstract=optional_texts,
    body=texts,
    body_format=st.sampled_from(BodyFormat),
    language=languages,
    field=optional_texts,
    issued_on=days,
    effective_on=st.none() | days,
    expires_on=st.none() | days,
    signer=optional_texts,
    urgency=st.sampled_from(DocumentUrgency),
    classification=st.sampled_from(Classification),
    recipients=st.lists(codes, max_size=3).map(tuple),
    attachments=st.lists(attachments, max_size=3).map(tuple),
    relations=st.lists(st.builds(Relation, kind=st.sampled_from(RelationKind), target=texts), max_size=3).map(tuple),
    canonical_url=texts,
    withdrawal_reason=optional_texts,
)
received = st.builds(
    FeedbackReceived,
    case_id=case_ids,
    public_code=st.from_regex(r"[0-9A-HJKMNP-TV-Z]{12}", fullmatch=True),
    regime=st.sampled_from(["R1", "R7"]),
    category=st.integers(1, 8),
    channel=st.sampled_from(Channel),
    received_at=moments,
    addressed_to=codes,
    field=optional_texts,
    area=st.none() | st.just("01"),
    urgency=st.sampled_from(CaseUrgency),
    subject=texts,
    content=texts,
    language=languages,
    pseudonym=st.none() | st.text("abcdef0123456789-", max_size=64),
)
resolved = st.builds(
    FeedbackResolved,
    case_id=case_ids,
    outcome=st.sampled_from(Outcome),
    reason_code=st.none() | st.sampled_from(RefusalReason),
    reason_text=optional_texts,
    legal_basis=optional_texts,
    competent_agency=st.none() | codes,
    answer=optional_texts,
    language=languages,
    answered_at=moments,
    public=st.booleans(),
)
payloads: st.SearchStrategy[Payload] = st.one_of(directives, received, resolved)


def encoded(event: Event) -> bytes:
    return codec.encode_event(event, IDS[event.payload.event_type])


def example_values() -> list[bytes]:
    """Every valid example of what may be on a lane, encoded."""
    values = []
    for example in example_files.valid():
        if example.record in PAYLOADS:
            values.append(encoded(example.event()))
        elif example.record in STATEMENTS:
            values.append(codec.encode_record(example.plain_record(), example.record, IDS[example.record]))
    return values


def read_or_refuse(value: bytes) -> str:
    """Reads a value, and puts what is read through everything that follows; the kind of outcome."""
    try:
        found = codec.read(value, WRITERS)
    except UndecodableRecord as refused:
        return refused.rule
    if isinstance(found, Decoded):
        for finding in rules.findings(found.event, FACTS):
            finding.explain()
    elif isinstance(found, Misshapen):
        for finding in found.findings:
            finding.explain()
    return type(found).__name__


@settings(max_examples=300, deadline=None)
@given(envelopes, payloads)
def test_an_event_survives_the_wire(envelope: Envelope, payload: Payload) -> None:
    event = Event(envelope=envelope, payload=payload)
    value = encoded(event)
    found = codec.read(value, WRITERS)
    assert isinstance(found, Decoded)
    assert found.event == event
    assert encoded(found.event) == value


@settings(max_examples=100, deadline=None)
@given(envelopes, envelopes, payloads)
def test_the_content_hash_is_of_what_is_said_and_not_of_who_says_it(
    one: Envelope, other: Envelope, payload: Payload
) -> None:
    hashes = set()
    for envelope in (one, other):
        found = codec.read(encoded(Event(envelope=envelope, payload=payload)), WRITERS)
        assert isinstance(found, Decoded)
        hashes.add(found.content_hash)
    assert hashes == {hashlib.sha256(codec.encode_payload(payload)).digest()}
    assert hashes == {bytes.fromhex(codec.content_hash(codec.encode_payload(payload)))}


def test_a_manifest_survives_the_wire() -> None:
    manifest = next(item for item in example_files.valid() if item.record == "SourceManifest").plain_record()
    value = codec.encode_record(manifest, "SourceManifest", IDS["SourceManifest"])
    assert isinstance(codec.decode(value, WRITERS), SourceManifest)
    assert codec.decode(value, WRITERS) == manifest


def test_the_wire_format_is_a_zero_byte_and_the_id_in_four_bytes() -> None:
    assert codec.frame(40_001, b"body") == b"\x00\x00\x00\x9c\x41body"
    assert codec.unframe(b"\x00\x00\x00\x9c\x41body") == (40_001, b"body")


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_value_is_undecodable(value: bytes | None) -> None:
    assert refused(value) == "record.empty"


@pytest.mark.parametrize("value", [b"\x00", b"\x00\x00\x00\x9c\x41", b'{"id": 1}', b"\x01\x00\x00\x9c\x41body"])
def test_a_value_without_the_frame_is_undecodable(value: bytes) -> None:
    assert refused(value) == "record.not-avro"


def test_an_id_that_is_not_allowed_is_never_read() -> None:
    value = bytearray(example_values()[0])
    value[1:5] = (999_999).to_bytes(4, "big")
    assert refused(bytes(value)) == "record.schema-not-allowed"


def test_the_schema_of_another_record_reads_nothing_of_ours() -> None:
    for value in example_values():
        for schema_id in set(IDS.values()) - {int.from_bytes(value[1:5], "big")}:
            assert refused(value[:1] + schema_id.to_bytes(4, "big") + value[5:]).startswith("record.")


def test_a_value_over_the_bound_is_not_read() -> None:
    head = codec.frame(IDS["FeedbackReceived"], b"")
    assert refused(head + bytes(codec.MAX_VALUE_BYTES - len(head) + 1)) == "record.too-large"
    assert refused(bytes(2**20)) == "record.too-large"
    assert refused(head + bytes(codec.MAX_VALUE_BYTES - len(head))) != "record.too-large"


@pytest.mark.parametrize("value", example_values())
def test_bytes_after_the_end_are_refused(value: bytes) -> None:
    assert refused(value + b"\x00") == "record.trailing-bytes"
    assert refused(value + value) == "record.trailing-bytes"


@pytest.mark.parametrize("value", example_values())
def test_a_value_cut_off_at_any_byte_is_refused(value: bytes) -> None:
    for length in range(len(value)):
        assert refused(value[:length]).startswith("record.")


@pytest.mark.parametrize("value", example_values())
def test_a_flipped_bit_never_does_more_than_change_or_break_the_record(value: bytes) -> None:
    for position in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[position // 8] ^= 1 << position % 8
        read_or_refuse(bytes(flipped))


def test_twenty_thousand_mutated_values_never_do_anything_else() -> None:
    outcomes: dict[str, int] = {}
    for value in mutated(random.Random(20_261_122), 20_000):
        outcome = read_or_refuse(value)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    # A mutation test that reaches one outcome only would prove nothing.
    assert {"Decoded", "Misshapen", "record.undecodable", "record.trailing-bytes", "record.shape"} <= set(outcomes)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(IDS.values())), st.binary(max_size=600))
def test_arbitrary_bytes_never_do_anything_else(schema_id: int, body: bytes) -> None:
    read_or_refuse(codec.frame(schema_id, body))


def test_a_payload_out_of_bounds_keeps_its_envelope_and_names_the_field() -> None:
    event = next(item for item in example_files.valid() if item.record == "FeedbackReceived").event()
    wrong = event.payload.model_copy(update={"category": 9})
    found = codec.read(encoded(Event(envelope=event.envelope, payload=wrong)), WRITERS)
    assert isinstance(found, Misshapen)
    assert found.envelope == event.envelope
    assert [(finding.rule, finding.path) for finding in found.findings] == [("schema.value", "/category")]
    with pytest.raises(UndecodableRecord, match="/category"):
        codec.decode(encoded(Event(envelope=event.envelope, payload=wrong)), WRITERS)


def test_an_error_about_bytes_never_shows_the_bytes() -> None:
    event = next(item for item in example_files.valid() if item.record == "FeedbackReceived").event()
    assert isinstance(event.payload, FeedbackReceived)
    secret = event.payload.content
    wrong = event.payload.model_copy(update={"language": secret, "public_code": secret})
    bad = event.envelope.model_copy(update={"id": secret})
    for envelope, payload in ((event.envelope, wrong), (bad, event.payload)):
        with pytest.raises(UndecodableRecord) as refused:
            codec.decode(encoded(Event(envelope=envelope, payload=payload)), WRITERS)
        assert secret not in str(refused.value) and secret not in refused.value.detail


def test_an_event_of_the_largest_size_is_taken_and_one_byte_more_is_not() -> None:
    event = next(item for item in example_files.valid() if item.record == "DirectivePublished").event()
    room = codec.MAX_VALUE_BYTES - len(encoded(event))
    assert isinstance(event.payload, DirectivePublished)
    grown = event.payload.body + "Đ" * (room // 2 - 4)
    fits = event.payload.model_copy(update={"body": grown})
    value = encoded(Event(envelope=event.envelope, payload=fits))
    assert codec.MAX_VALUE_BYTES - 16 < len(value) <= codec.MAX_VALUE_BYTES
    assert isinstance(codec.read(value, WRITERS), Decoded)
    over = event.payload.model_copy(update={"body": grown + "Đ" * 10})
    assert refused(encoded(Event(envelope=event.envelope, payload=over))) == "record.too-large"


def test_the_parts_of_an_encoded_event_are_put_together_as_they_are() -> None:
    for example in example_files.valid():
        if example.record in PAYLOADS:
            event = example.event()
            body = codec.encode_envelope(event.envelope) + codec.encode_payload(event.payload)
            assert encoded(event) == codec.frame(IDS[example.record], body)


def test_an_older_version_is_read_with_the_defaults_of_the_one_in_force() -> None:
    raw = avro_files.current("FeedbackReceived").raw
    older = {**raw, "fields": [field for field in raw["fields"] if field["name"] not in ("area", "urgency")]}
    writers = WriterSchemas({7: ("FeedbackReceived", older)})
    event = next(item for item in example_files.valid() if item.record == "FeedbackReceived").event()
    body = codec.encode_envelope(event.envelope) + write_payload(older, event)
    found = codec.read(codec.frame(7, body), writers)
    assert isinstance(found, Decoded) and isinstance(found.event.payload, FeedbackReceived)
    assert found.event.payload.area is None
    assert found.event.payload.urgency is CaseUrgency.NORMAL


def test_a_hostile_schema_never_becomes_a_decoder() -> None:
    raw = avro_files.current("FeedbackReceived").raw
    hostile = {**raw, "fields": [*raw["fields"], {"name": "bomb", "type": {"type": "array", "items": "null"}}]}
    with pytest.raises(ValueError, match=r"not safe to decode with: .*bomb"):
        WriterSchemas({7: ("FeedbackReceived", hostile)})


def write_payload(schema: dict[str, object], event: Event) -> bytes:
    from io import BytesIO

    from fastavro import schemaless_writer

    fields = schema["fields"]
    assert isinstance(fields, list)
    stream = BytesIO()
    schemaless_writer(stream, {**schema, "fields": fields[1:]}, event.payload.model_dump())
    return stream.getvalue()


def refused(value: bytes | None) -> str:
    with pytest.raises(UndecodableRecord) as refusal:
        codec.read(value, WRITERS)
    return refusal.value.rule


def mutated(chance: random.Random, count: int) -> Iterator[bytes]:
    """Valid values with one to four things done to them, frame included."""
    values = example_values()
    for _ in range(count):
        value = bytearray(chance.choice(values))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(5 if chance.random() < 0.95 else 0, len(value)) if len(value) > 5 else 0
            kind = chance.randrange(6)
            if kind == 0 and value:
                value[place] ^= 1 << chance.randrange(8)
            elif kind == 1 and value:
                value[place] = chance.choice((0x00, 0x01, 0x02, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                value[place:place] = chance.randbytes(chance.randint(1, 8))
            elif kind == 3:
                del value[place : place + chance.randint(1, 8)]
            elif kind == 4:
                value[place:place] = b"\xff" * chance.randint(1, 10)  # varints that do not end
            else:
                other = chance.choice(values)
                value[place:] = other[chance.randrange(5, len(other)) :]
        yield bytes(value)
