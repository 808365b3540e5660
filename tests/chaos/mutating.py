"""Lane records as a broken or hostile sender could write them: valid ones, with something done to their structure.

Knows where the numbers, lengths, counts, branches and texts of an Avro value stand, so that a mutation hits them, and
not only the letters between them. Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

from bus_events import NOON, SCHEMA_IDS, answer, directive, envelope, event_id, manifest, receipt, value_of, withdrawal
from portalbus.schemas import avro_files, codec, example_files
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import (
    PAYLOADS,
    STATEMENTS,
    Attachment,
    Bucket,
    BucketContents,
    BucketEvent,
    Canary,
    Event,
    Payload,
    Relation,
    RelationKind,
)
from portalbus.schemas.topics import lane_of
from portalbus.streams.records import LaneRecord

AGENCIES = ("H26", "H29", "G22")
BODY = codec.HEADER_BYTES
NUMBERS = (0, 1, -1, 2, 63, 64, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**62, -(2**62), 2**63 - 1, -(2**63))
LENGTHS = (-1, 0, 1, 255, 2**20, 2**31, 2**40, 2**62, 2**63 - 1, -2, -(2**31), -(2**63))
COUNTS = (0, 1, -1, 1_000, 10**6, 5 * 10**7, 10**12, 2**62, 2**63 - 1, -(2**31), -(2**63))
BRANCHES = (-1, 2, 3, 7, -2, 10**6, 2**62, -(2**63))
CHOICES = (0, 1, 2, 3, 4, 5, *BRANCHES)
SOFT = frozenset({"number", "text", "enum", "boolean"})
"""Parts that can be changed without everything behind them being read wrongly: what comes out is judged."""

TEXTS = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",  # half of a surrogate pair, as CESU-8 writes it
    b"\xf4\x90\x80\x80",  # beyond the last character of Unicode
    b"\xc0\xaf",
    b"\x1b[31m\r\n",
    "Ha\u0300 No\u0323\u0302i".encode(),
    "\u202eđảo\u202c".encode(),
    "\ufeff\ufffe\U0010ffff".encode(),
    b"a" * 1_001,
    "ế".encode() * 70_000,
    b"../../../etc/passwd",
    b"' or 1=1; --",
    b"{rule}{0}{}%s%n",
)
FILLS = (b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80", b"\xff", b"\x02\x00")


class Token(NamedTuple):
    """One part of an Avro body: what it is, and from where to where it stands in the value."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A valid value, with its parts; `key` and `headers` as its sender writes them."""

    agency: str
    value: bytes
    tokens: tuple[Token, ...]
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def soft(self) -> tuple[Token, ...]:
        """The parts of `SOFT` kinds."""
        return tuple(token for token in self.tokens if token.kind in SOFT)


def zigzag(number: int) -> bytes:
    """An Avro long."""
    left = (number << 1) ^ (number >> 63)
    left &= 2**64 - 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


class _Walk:
    """Finds the parts of a valid value."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._at = BODY
        self.tokens: list[Token] = []

    def walk(self, schema: Any) -> None:
        kind = schema if isinstance(schema, str) else "union" if isinstance(schema, list) else schema["type"]
        if isinstance(kind, (dict, list)):
            self.walk(kind)
        elif kind == "record":
            for field in schema["fields"]:
                self.walk(field["type"])
        elif kind == "union":
            self.walk(schema[self._number("union")])
        elif kind == "array":
            while count := self._number("count"):
                for _ in range(count):
                    self.walk(schema["items"])
        elif kind in ("string", "bytes"):
            self._bytes("text", self._number("length"))
        elif kind == "fixed":
            self._bytes("fixed", schema["size"])
        elif kind == "boolean":
            self._bytes("boolean", 1)
        elif kind == "enum":
            self._number("enum")
        elif kind in ("int", "long"):
            self._number("number")
        elif kind != "null":
            raise ValueError(f"{kind} is new in the contracts: teach it to the mutator")

    def _number(self, kind: str) -> int:
        start, shift, raw = self._at, 0, 0
        while True:
            byte = self._value[self._at]
            raw |= (byte & 0x7F) << shift
            shift += 7
            self._at += 1
            if byte < 0x80:
                break
        self.tokens.append(Token(kind, start, self._at))
        return (raw >> 1) ^ -(raw & 1)

    def _bytes(self, kind: str, size: int) -> None:
        self.tokens.append(Token(kind, self._at, self._at + size))
        self._at += size


def tokens_of(name: str, value: bytes) -> tuple[Token, ...]:
    """The parts of a valid value of this record type."""
    walk = _Walk(value)
    walk.walk(avro_files.current(name).raw)
    assert walk.tokens[-1].end == len(value)
    return tuple(walk.tokens)


@lru_cache(maxsize=1)
def samples() -> tuple[Sample, ...]:
    """Valid values of every record type that may be on a lane."""
    found = [_event_sample(event) for event in _events()]
    for example in example_files.valid():
        if example.record in PAYLOADS:
            found.append(_event_sample(example.event()))
        elif example.record in STATEMENTS:
            record = example.plain_record()
            found.append(_statement_sample(example.record, record, example.document["agency"]))
    for agency in AGENCIES:
        bucket = Bucket(day=NOON.date(), event_type="FeedbackReceived", count=3, digest="0" * 64)
        found.append(_statement_sample("SourceManifest", manifest(agency, buckets=(bucket,)), agency))
        found.append(_statement_sample("BucketContents", bucket_contents(agency), agency))
    return tuple(found)


def bucket_contents(agency: str) -> BucketContents:
    """What a source says lies in a bucket."""
    return BucketContents(
        id=event_id(0),
        agency=agency,
        portal="www",
        epoch=1,
        day=NOON.date(),
        event_type="FeedbackReceived",
        first=1,
        last=2,
        events=(BucketEvent(id=event_id(1), sequence=1, content_hash="0" * 64),),
        sent_at=NOON,
    )


def _events() -> Iterator[Event]:
    files = tuple(
        Attachment(name=f"tệp-{n}.pdf", url=f"https://a.vn/{n}", media_type="application/pdf", size=n, sha256="0" * 64)
        for n in range(40)
    )
    relations = tuple(Relation(kind=kind, target="12/CT-TTg") for kind in RelationKind)
    payloads: list[Payload] = [
        directive("d-1"),
        directive("d-1", 2),
        withdrawal("d-1", 3),
        directive("d-2", attachments=files, relations=relations, recipients=("H26", "H29") * 50),
        directive("d-3", body="Điều khoản. " * 2_000),
        Canary(interval_s=300),
    ]
    for number, agency in enumerate(AGENCIES):
        case = receipt(f"{agency}-0001", number + 1)
        for place, payload in enumerate([*payloads, case, answer(case.case_id)], 1):
            yield Event(envelope(number * 100 + place, agency, place, correlation_id="hồ sơ 1"), payload)


def _event_sample(event: Event) -> Sample:
    kind, value = event.payload.event_type, value_of(event)
    headers = tuple(cloudevents_headers(event.envelope, kind))
    return Sample(event.envelope.agency, value, tokens_of(kind, value), event.key.encode(), headers)


def _statement_sample(name: str, record: Any, agency: str) -> Sample:
    value = codec.encode_record(record, name, SCHEMA_IDS[name])
    return Sample(agency, value, tokens_of(name, value), None, ())


Mutation = Callable[[Random, bytearray], None]


def _any_place(random: Random, value: bytearray) -> int:
    return random.randrange(BODY, len(value)) if len(value) > BODY else 0


def flip_bits(random: Random, value: bytearray) -> None:
    """One to eight bits are another."""
    for _ in range(random.randint(1, 8)):
        if value:
            value[random.randrange(len(value))] ^= 1 << random.randrange(8)


def cut_short(random: Random, value: bytearray) -> None:
    """The end is missing."""
    del value[random.randrange(len(value) + 1) :]


def put_in(random: Random, value: bytearray) -> None:
    """Bytes stand where none belong."""
    place = _any_place(random, value)
    value[place:place] = random.randbytes(random.randint(1, 16))


def take_out(random: Random, value: bytearray) -> None:
    """Bytes are missing in the middle."""
    place = _any_place(random, value)
    del value[place : place + random.randint(1, 16)]


def say_twice(random: Random, value: bytearray) -> None:
    """A stretch stands there twice."""
    place = _any_place(random, value)
    value[place:place] = value[place : place + random.randint(1, 64)]


def flood(random: Random, value: bytearray) -> None:
    """From somewhere on, the same byte for up to 10 KB: what recursive decoders go down in."""
    del value[_any_place(random, value) :]
    value += random.choice(FILLS) * random.choice((16, 1_000, 10_000))


def graft(random: Random, value: bytearray) -> None:
    """The tail is that of another value."""
    other = random.choice(samples()).value
    value[_any_place(random, value) :] = other[random.randrange(BODY, len(other)) :]


def change_schema(random: Random, value: bytearray) -> None:
    """The schema id is another record's, or nobody's."""
    known = random.random() < 0.7
    number = random.choice([*SCHEMA_IDS.values()]) if known else random.choice((0, 7, 2**31, 2**32 - 1))
    value[1:BODY] = number.to_bytes(4, "big")


def break_frame(random: Random, value: bytearray) -> None:
    """The frame is not ours."""
    value[:1] = random.choice((b"", b"\x01", b"\x00\x00", b"Obj\x01", b"{", b"\x1f\x8b"))


def swell(random: Random, value: bytearray) -> None:
    """As large as may be, a byte more, or as large as the broker takes."""
    size = random.choice((codec.MAX_VALUE_BYTES, codec.MAX_VALUE_BYTES + 1, 2**20))
    value += random.choice(FILLS)[:1] * max(size - len(value), 0)


ANYWHERE: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    cut_short,
    put_in,
    take_out,
    say_twice,
    flood,
    graft,
    change_schema,
    break_frame,
)


def replaced(random: Random, token: Token, value: bytes) -> bytes:
    """What stands in the place of one part of a value."""
    old = value[token.start : token.end]
    if token.kind == "text":
        return random.choice(TEXTS) if random.random() < 0.5 else _other_text(random, old)
    if token.kind in ("boolean", "fixed"):
        return random.randbytes(len(old))
    if random.random() < 0.15:  # the same number in more bytes than it needs; some readers never stop reading it
        return old[:-1] + bytes([old[-1] | 0x80]) + b"\x80" * random.choice((1, 8, 9, 5_000)) + b"\x00"
    if token.kind == "count" and random.random() < 0.2:
        return b"\x00" if random.random() < 0.5 else zigzag(-3) + zigzag(random.choice(LENGTHS))
    if token.kind == "count" and random.random() < 0.03:  # as many of the smallest items as fit into a value
        size = random.choice((1, 3, 4, 5))
        return zigzag(200_000 // size) + random.choice((b"\x00", b"\x02")) * (200_000 // size * size) + b"\x00"
    numbers = {"length": LENGTHS, "count": COUNTS, "union": BRANCHES, "enum": CHOICES}.get(token.kind, NUMBERS)
    return zigzag(random.choice(numbers))


def _other_text(random: Random, old: bytes) -> bytes:
    text = bytearray(old)
    flip_bits(random, text)
    return bytes(text)


def mutated_value(random: Random, sample: Sample) -> bytes | None:
    """The sample's value after one to three mutations; now and then what it was, or nothing at all."""
    kind = random.random()
    if kind < 0.02:
        return random.choice((sample.value, None, b"", random.randbytes(random.randint(1, 400))))
    value = bytearray(sample.value)
    if kind < 0.75:
        tokens = sample.soft if kind < 0.45 else sample.tokens
        parts = random.sample(tokens, min(random.randint(1, 3), len(tokens)))
        for token in sorted(parts, reverse=True, key=lambda part: part.start):
            _put(value, token, replaced(random, token, sample.value), random)
    if kind >= 0.7:
        for _ in range(random.randint(1, 3)):
            random.choice(ANYWHERE)(random, value)
    if random.random() < 0.002:
        swell(random, value)
    return bytes(value)


def _put(value: bytearray, token: Token, new: bytes, random: Random) -> None:
    value[token.start : token.end] = new
    if token.kind == "text" and random.random() < 0.9:
        _tell_length(value, token, new)


def _tell_length(value: bytearray, token: Token, new: bytes) -> None:
    """A text whose length is told right is read, and judged."""
    start = token.start - len(zigzag(token.end - token.start))
    value[start : token.start] = zigzag(len(new))


def one_part_another() -> Iterator[Sample]:
    """Of each record type that may be on a lane one value, with each number and text in it in turn one of those above.

    Every one of them alone, so that nothing else in the record keeps it from being read and judged.
    """
    newest = {int.from_bytes(sample.value[1:BODY]): sample for sample in samples()}
    for sample in newest.values():
        for token in sample.soft:
            for new in TEXTS if token.kind == "text" else map(zigzag, NUMBERS) if token.kind == "number" else ():
                value = bytearray(sample.value)
                value[token.start : token.end] = new
                if token.kind == "text":
                    _tell_length(value, token, new)
                yield replace(sample, value=bytes(value), tokens=())


def mutated_record(random: Random, offset: int, timestamp_ms: int) -> LaneRecord:
    """A record at this offset; key, headers and lane are those of the sample, or not."""
    sample = random.choice(samples())
    agency = sample.agency if random.random() < 0.95 else random.choice(AGENCIES)
    key, headers = sample.key, sample.headers
    if random.random() < 0.1:
        key = random.choice((None, b"", b"\xff", random.randbytes(40), random.choice(samples()).key))
    if headers and random.random() < 0.1:
        name, old = random.choice(headers)
        odd = random.choice((b"", b"\xff\xfe", b"9" * 400, old + b"\x00", random.randbytes(20)))
        headers = (*headers, (name, odd), ("ế" * 100, odd))
    return LaneRecord(lane_of(agency), agency, offset, timestamp_ms, key, mutated_value(random, sample), tuple(headers))
