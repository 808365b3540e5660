"""Stories about rules: what lanes say, one record after the other, read and judged as the worker does it.

A step of a story is a table with one verb:

- `say`: a valid example, such as "DirectivePublished/publish-text". Beside it may stand the `lane` and the `agency` of
  its envelope, changes of its fields in `set`, a `sequence` or `key` of its own, the id of an earlier record
  (`id_of = 1`), how often it is said (`times`), and in `bytes` what happened to the value (see `DAMAGE`);
- `again = 1`: the first record once more; `wait = 8`: so many days pass;
- `lose = 1`: the ledger loses the event and asks for it again; `compare = true`: the source tells what it published;
- `block = "H26/www"`; `redrive = 1`, `discard = 1`: what an operator decides;
- `publish`: the example as a portal hands it to the SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID

from portalbus.producers.draft import Drafter
from portalbus.schemas import avro_files, example_files
from portalbus.schemas.avro_files import LANE_TYPES
from portalbus.schemas.codec import Decoded, WriterSchemas, encode_envelope, encode_payload, encode_record, frame
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import PAYLOADS, BucketEvent, Envelope, Event
from portalbus.schemas.topics import lane_of
from portalbus.streams.decoding.contents import DEADLY, content_of
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.judgement.history import History
from portalbus.streams.judgement.redrive import ParkedDocket
from portalbus.streams.reconciling.comparing import compare_contents
from portalbus.streams.reconciling.conversing import REASON
from portalbus.streams.records import LaneRecord

Step = Mapping[str, Any]

BEGINS = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
"""Lane time of the first record of a story."""

SCHEMA_IDS = {name: number for number, name in enumerate(LANE_TYPES, start=1)}
DAMAGE: Mapping[str, Callable[[bytes], bytes | None]] = {
    "none": lambda value: None,
    "plain JSON": lambda value: b'{"action": "PUBLISH"}',
    "cut short": lambda value: value[:-1],
    "longer": lambda value: value + b"\x00",
    "too large": lambda value: value + bytes(300_000),
    "schema unknown": lambda value: value[:1] + b"\xff" + value[2:],
    "deadly": lambda value: value,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One step as a reader sees it: what happened, which rule was the last to speak after it, and the event in full."""

    what: str
    rule: str
    document: Any = None


@dataclass
class _Told:
    """One record that was said, and what it said before anything happened to its bytes."""

    item: Item
    intact: bytes


@dataclass
class Teller:
    """Tells one story; the ledger is that of a bus on which nothing else was ever said."""

    _docket: ParkedDocket = field(default_factory=lambda: ParkedDocket(History(), directory(), 1))
    _told: list[_Told] = field(default_factory=list)
    _sequences: dict[tuple[str, str], count[int]] = field(default_factory=dict)
    _now: datetime = BEGINS
    _rule: str = ""

    def tell(self, steps: Iterable[Step]) -> list[Line]:
        """What came of each step. Raises KeyError for a step without a verb."""
        return [self._take(step) for step in steps]

    def _take(self, step: Step) -> Line:
        verb = next((verb for verb in _VERBS if verb in step), None)
        if verb is None:
            raise KeyError(f"a step needs one of {', '.join(_VERBS)}: {dict(step)}")
        self._now += timedelta(milliseconds=1)
        document = _VERBS[verb](self, step)
        if self._docket.entries:
            self._rule = self._docket.entries[-1].decision.rule if verb in _JUDGED else self._rule
        return Line(_in_words(step), self._rule, document)

    def _say(self, step: Step) -> Any:
        for _ in range(step.get("times", 1)):
            document = self._say_once(step)
        return document

    def _say_once(self, step: Step) -> Any:
        example = _example(step["say"])
        if example.record not in PAYLOADS:
            value = encode_record(example.plain_record(), example.record, SCHEMA_IDS[example.record])
            self._hear(step, step.get("lane", "H26"), b"", value, [])
            return example.document
        event = self._event(example, step)
        value = frame(SCHEMA_IDS[example.record], encode_envelope(event.envelope) + encode_payload(event.payload))
        headers = cloudevents_headers(event.envelope, example.record)
        lane = step.get("lane", example.document["envelope"]["agency"])
        self._hear(step, lane, step.get("key", event.key).encode(), value, headers)
        return _plain(event)

    def _event(self, example: example_files.Example, step: Step) -> Event:
        said = example.document["envelope"]
        agency = step.get("agency", step.get("lane", said["agency"]))
        numbers = self._sequences.setdefault((agency, said["portal"]), count(1))
        number = step.get("sequence") or next(numbers)
        event_id = str(UUID(int=len(self._told) + 1))
        if "id_of" in step:
            event_id = self._decoded(step["id_of"]).event.envelope.id
        if step.get("bytes") == "envelope out of bounds":
            event_id = "none"
        changed = {**said, "id": event_id, "agency": agency, "sequence": number, "epoch": 1}
        times = {name: datetime.fromisoformat(changed[name]) for name in ("occurred_at", "published_at")}
        payload = PAYLOADS[example.record].model_validate({**example.document["payload"], **_values(step)})
        return Event(Envelope.model_construct(**{**changed, **times}), payload)

    def _hear(self, step: Step, agency: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        damage = step.get("bytes", "")
        found = DAMAGE[damage](value) if damage in DAMAGE else value
        offset = sum(one.item.record.agency == agency for one in self._told)
        stamp = round(self._now.timestamp() * 1000)
        record = LaneRecord(lane_of(agency), agency, offset, stamp, key or None, found, tuple(headers))
        content = Unreadable(DEADLY, "its decoder ended") if damage == "deadly" else content_of(found, _writers())
        self._told.append(_Told(Item(record, content), value))
        self._docket.hear([self._told[-1].item])

    def _again(self, step: Step) -> None:
        old = self._told[step["again"] - 1]
        record = old.item.record
        self._hear({}, record.agency, record.key or b"", old.intact, list(record.headers))

    def _wait(self, step: Step) -> None:
        self._now += timedelta(days=step["wait"])
        for agency in {one.item.record.agency for one in self._told}:
            self._docket.pass_time(agency, self._now)
        self._docket.expire(lambda _: self._now)

    def _lose(self, step: Step) -> None:
        lost = self._decoded(step["lose"])
        name = (lost.event.envelope.agency, lost.event.envelope.id)
        self._docket.history.reconciling.wanted[name] = self._docket.history.event_ids.pop(name)

    def _compare(self, step: Step) -> None:
        said = [one.item.content for one in self._told if isinstance(one.item.content, Decoded)]
        listed = [
            BucketEvent(
                id=one.event.envelope.id,
                sequence=one.event.envelope.sequence,
                content_hash=one.content_hash.hex(),
                delivered=True,
            )
            for one in said
        ]
        known = {event_id: digest for (_, event_id), digest in self._docket.history.event_ids.items()}
        if any(compare_contents(listed, known)):
            self._rule = REASON

    def _block(self, step: Step) -> None:
        agency, portal = step["block"].split("/")
        self._docket.history.sources[agency, portal].status = "blocked"

    def _redrive(self, step: Step) -> None:
        entry, told = self._parked(step["redrive"])
        content = content_of(told.intact, _writers())
        self._docket.redrive(told.item.record._replace(value=told.intact), content, entry, self._now)

    def _discard(self, step: Step) -> None:
        claim, told = self._parked(step["discard"])
        record = told.item.record
        received_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        self._docket.discard(record.agency, record.offset, received_at, claim, self._now)

    def _publish(self, step: Step) -> None:
        example = _example(step["publish"])
        said = example.document["envelope"]
        payload = PAYLOADS[example.record].model_validate({**example.document["payload"], **_values(step)})
        try:
            Drafter(said["agency"], said["portal"]).draft(payload)
            self._rule = "event.accepted"
        except EventRefused as refused:
            self._rule = refused.rule

    def _parked(self, number: int) -> tuple[Any, _Told]:
        told = self._told[number - 1]
        record = told.item.record
        place = (record.agency, record.offset)
        entry = next(one for one in self._docket.entries if (one.agency, one.lane_offset) == place)
        return entry.claim, told

    def _decoded(self, number: int) -> Decoded:
        content = self._told[number - 1].item.content
        if not isinstance(content, Decoded):
            raise KeyError(f"record {number} of the story cannot be read")
        return content


_VERBS: Mapping[str, Callable[[Teller, Step], Any]] = {
    "say": Teller._say,
    "again": Teller._again,
    "wait": Teller._wait,
    "lose": Teller._lose,
    "compare": Teller._compare,
    "block": Teller._block,
    "redrive": Teller._redrive,
    "discard": Teller._discard,
    "publish": Teller._publish,
}
_JUDGED = frozenset({"say", "again", "wait", "redrive", "discard"})


@lru_cache(maxsize=1)
def _writers() -> WriterSchemas:
    return WriterSchemas({SCHEMA_IDS[name]: (name, avro_files.current(name).raw) for name in LANE_TYPES})


def _example(name: str) -> example_files.Example:
    return next(example for example in example_files.valid() if example.id == name)


def _values(step: Step) -> dict[str, Any]:
    """The changed fields; `{repeat = "a", times = 3}` stands for a long text."""
    changes: Mapping[str, Any] = step.get("set", {})
    return {
        name: value["repeat"] * value["times"] if isinstance(value, dict) and "repeat" in value else value
        for name, value in changes.items()
    }


def _plain(event: Event) -> dict[str, Any]:
    envelope = event.envelope.model_dump(mode="json", warnings=False)
    return {"envelope": envelope, "payload": event.payload.model_dump(mode="json")}


def _in_words(step: Step) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in step.items())


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_word(one)}" for name, one in value.items()) + "}"
    return str(value)
