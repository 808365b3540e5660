"""In a real registry, Confluent's own clients read what we write and write what we read, and breaks are refused."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from portalbus.infra.stack import Endpoints
from portalbus.schemas import avro_files, codec, example_files
from portalbus.schemas.avro_files import ALL_TYPES, LANE_TYPES
from portalbus.schemas.errors import RegistryRefused
from portalbus.schemas.example_files import Example
from portalbus.schemas.models import PAYLOADS
from portalbus.schemas.registration import SchemaIds, register_all
from portalbus.schemas.registry import SchemaRegistry

LANE = SerializationContext("lane.H26", MessageField.VALUE)


@pytest.fixture(scope="module")
def registry(endpoints: Endpoints) -> SchemaRegistry:
    return SchemaRegistry(endpoints.registry_url)


@pytest.fixture(scope="module")
def ids(registry: SchemaRegistry) -> SchemaIds:
    register_all(registry)
    return SchemaIds(registry)


@pytest.fixture(scope="module")
def confluent(endpoints: Endpoints) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": endpoints.registry_url})


def examples(*records: str) -> list[Example]:
    return [example for example in example_files.valid() if example.record in records]


def named(example: Example) -> str:
    return example.id


def as_datum(example: Example) -> dict[str, Any]:
    """What an example says, in the types Avro libraries use."""
    if example.record in PAYLOADS:
        event = example.event()
        return {"envelope": event.envelope.model_dump(), **as_lists(event.payload.model_dump())}
    return dict(as_lists(example.plain_record().model_dump()))


def as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("example", examples(*ALL_TYPES), ids=named)
def test_confluents_deserializer_reads_what_we_write(
    example: Example, ids: SchemaIds, confluent: SchemaRegistryClient
) -> None:
    schema_id = ids.id_of(example.record)
    if example.record in PAYLOADS:
        value = codec.encode_event(example.event(), schema_id)
    else:
        value = codec.encode_record(example.plain_record(), example.record, schema_id)
    assert AvroDeserializer(confluent)(value, LANE) == as_datum(example)


@pytest.mark.parametrize("example", examples(*LANE_TYPES), ids=named)
def test_we_read_what_confluents_serializer_writes(
    example: Example, ids: SchemaIds, confluent: SchemaRegistryClient
) -> None:
    serializer = AvroSerializer(
        confluent,
        avro_files.current(example.record).text,
        conf={"auto.register.schemas": False, "subject.name.strategy": record_subject_name_strategy},
    )
    value = serializer(as_datum(example), LANE)
    assert isinstance(value, bytes)
    found = codec.decode(value, ids.lane_writers())
    if example.record in PAYLOADS:
        assert found == example.event()
        assert value == codec.encode_event(example.event(), ids.id_of(example.record))
    else:
        assert found == example.plain_record()


def test_the_subjects_are_the_full_names_of_the_records(registry: SchemaRegistry, ids: SchemaIds) -> None:
    assert {f"portalbus.events.{name}" for name in ALL_TYPES} <= set(registry.subjects())


def test_the_registry_gives_back_the_schema_that_was_committed(registry: SchemaRegistry, ids: SchemaIds) -> None:
    for name in ALL_TYPES:
        found = registry.schema(ids.id_of(name))
        assert avro_files.fingerprint(found) == avro_files.current(name).fingerprint


def test_registering_again_changes_nothing(registry: SchemaRegistry, ids: SchemaIds) -> None:
    before = {name: registry.versions(f"portalbus.events.{name}") for name in ALL_TYPES}
    assert register_all(registry) == {name: ids.id_of(name) for name in ALL_TYPES}
    assert before == {name: registry.versions(f"portalbus.events.{name}") for name in ALL_TYPES}


def fields(schema: Any, name: str) -> Any:
    return next(item for item in schema["fields"] if item["name"] == name)


def drop_content(schema: Any) -> None:
    schema["fields"].remove(fields(schema, "content"))


def retype_category(schema: Any) -> None:
    fields(schema, "category")["type"] = "string"


def add_without_default(schema: Any) -> None:
    schema["fields"].append({"name": "district", "type": "string", "doc": "District."})


def drop_symbol(schema: Any) -> None:
    fields(schema, "outcome")["type"]["symbols"].remove("DIVERTED")


def add_symbol(schema: Any) -> None:
    fields(schema, "outcome")["type"]["symbols"].append("SPLIT")


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("FeedbackReceived", drop_content),
        ("FeedbackReceived", retype_category),
        ("FeedbackReceived", add_without_default),
        ("FeedbackResolved", drop_symbol),
        ("FeedbackResolved", add_symbol),
    ],
)
def test_the_registry_itself_refuses_a_breaking_schema(
    registry: SchemaRegistry, ids: SchemaIds, name: str, edit: Callable[[Any], None]
) -> None:
    current = avro_files.current(name)
    before = registry.versions(current.subject)
    broken = copy.deepcopy(current.raw)
    edit(broken)
    with pytest.raises(RegistryRefused, match="409"):
        registry.register(current.subject, json.dumps(broken))
    assert registry.versions(current.subject) == before


def test_the_registry_checks_every_version_and_takes_a_compatible_one(registry: SchemaRegistry) -> None:
    subject = f"portalbus.test.{uuid.uuid4().hex}"
    first = avro_files.current("FeedbackReceived").raw
    registry.register(subject, json.dumps(first))
    registry.set_compatibility(subject)
    second = copy.deepcopy(first)
    second["fields"].remove(fields(second, "area"))
    registry.register(subject, json.dumps(second))
    assert len(registry.versions(subject)) == 2
    third = copy.deepcopy(second)  # fits the second version, which has no such field, but not the first
    third["fields"].append({"name": "area", "type": ["null", "int"], "doc": "Area.", "default": None})
    with pytest.raises(RegistryRefused, match="409"):
        registry.register(subject, json.dumps(third))
    assert len(registry.versions(subject)) == 2


def test_a_schema_the_registry_does_not_have_is_refused_in_words(registry: SchemaRegistry, ids: SchemaIds) -> None:
    with pytest.raises(RegistryRefused, match="404"):
        registry.lookup("portalbus.events.FeedbackReceived", '"string"')
    with pytest.raises(RegistryRefused, match="404"):
        registry.schema(2**31 - 1)
