"""Every example says what it claims to say, and every rule that looks at one event alone has one that breaks it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from string import Formatter

import pytest
from pydantic import ValidationError

from portalbus.schemas import avro_files, example_files, rules
from portalbus.schemas.avro_files import ALL_TYPES
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.codec import WriterSchemas, decode, encode_event, encode_record
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.example_files import Example
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import PAYLOADS, STATEMENTS
from portalbus.schemas.rules import Facts, shape_findings

FACTS = Facts(AgencyDirectory.read(), datetime(2026, 11, 22, 8, 0, tzinfo=UTC))

NOT_IN_ONE_EVENT = {
    "event.": "decisions of the centre, not faults of an event",
    "record.": "faults of bytes, which no JSON file can hold; tests/unit/test_codec.py breaks each",
    "key.": "needs the history of the key",
    "lane.": "needs the lane the event came on",
    "source.": "needs the history of the source",
    "parked.": "needs a decision about a parked record, or a record before a parked one",
    "waiting.": "needs the waiting room",
    "case.already-": "needs the history of the case",
    "case.public-code-taken": "needs the other cases",
    "case.not-yours": "needs the history of the case",
    "case.waits-": "needs the history of the case",
    "case.step-not-allowed": "needs the history of the case",
    "case.answer-shown": "needs the history of the case",
    "case.not-owner": "needs the history of the case",
    "case.transfer-loop": "needs the history of the case",
    "case.too-many-transfers": "needs the history of the case",
    "directive.version-stale": "needs the history of the directive",
    "directive.already-withdrawn": "needs the history of the directive",
    "directive.waits-": "needs the history of the directive",
    "schema.event-too-large": "needs 256 KiB; found on encoding, by the outbox",
}


def findings_of(example: Example) -> list[Finding]:
    """What the bus has against an example: its shape first, then the stateless rules."""
    try:
        if example.record not in PAYLOADS:
            example.plain_record()
            return []
        return list(rules.findings(example.event(), FACTS))
    except ValidationError as error:
        return list(shape_findings(error))


def named(example: Example) -> str:
    return example.id


@pytest.mark.parametrize("example", example_files.valid(), ids=named)
def test_nothing_is_wrong_with_a_valid_example(example: Example) -> None:
    assert findings_of(example) == []


@pytest.mark.parametrize("example", example_files.invalid(), ids=named)
def test_an_invalid_example_breaks_exactly_the_rule_it_names(example: Example) -> None:
    assert [(found.rule, found.path) for found in findings_of(example)] == [(example.rule, example.path)]


@pytest.mark.parametrize("example", example_files.valid(), ids=named)
def test_a_valid_example_survives_the_wire(example: Example, writers: WriterSchemas) -> None:
    if example.record in PAYLOADS:
        event = example.event()
        assert decode(encode_event(event, schema_id(example.record)), writers) == event
    elif example.record in STATEMENTS:
        manifest = example.plain_record()
        assert decode(encode_record(manifest, example.record, schema_id(example.record)), writers) == manifest
    else:
        assert encode_record(example.plain_record(), example.record, 1)


@pytest.mark.parametrize("record", ALL_TYPES)
def test_every_record_has_valid_and_invalid_examples(record: str) -> None:
    assert any(example.record == record for example in example_files.valid())
    assert any(example.record == record for example in example_files.invalid())


def test_every_rule_about_one_event_has_an_example_that_breaks_it() -> None:
    broken = {example.rule for example in example_files.invalid()}
    wanted = {rule for rule in catalogue() if not rule.startswith(tuple(NOT_IN_ONE_EVENT))}
    assert wanted - broken == set()
    assert broken - wanted == set()


def test_every_exemption_still_exempts_something() -> None:
    for prefix in NOT_IN_ONE_EVENT:
        assert any(rule.startswith(prefix) for rule in catalogue()), prefix


def test_every_shape_rule_is_in_the_catalogue() -> None:
    assert {*rules.SHAPE_RULES.values(), "schema.value"} <= set(catalogue())


def test_no_file_among_the_examples_is_an_orphan() -> None:
    folder = files("portalbus.schemas").joinpath("examples")
    assert {entry.name for entry in folder.iterdir()} == set(ALL_TYPES)
    for record in ALL_TYPES:
        assert {entry.name for entry in folder.joinpath(record).iterdir()} == {"valid", "invalid"}
        for kind in ("valid", "invalid"):
            for entry in folder.joinpath(record).joinpath(kind).iterdir():
                assert entry.name.endswith(".json"), entry


@pytest.mark.parametrize("example", example_files.invalid(), ids=named)
def test_messages_fill_every_place_and_never_repeat_content(example: Example) -> None:
    content = [text for text in texts_in(example.document) if len(text) > 20 and " " in text]
    for finding in findings_of(example):
        for texts in filter(None, (finding.message, finding.mend)):
            for language in LANGUAGES:
                words = getattr(texts, language)
                assert "…" not in words  # what a place becomes that no finding filled
                assert not any(text in words or words in text for text in content)
        assert not any(text in finding.explain() for text in content)


@pytest.mark.parametrize("rule", sorted(catalogue()))
def test_a_rule_speaks_three_languages_with_the_same_places(rule: str) -> None:
    found = catalogue()[rule]
    for texts in (found.what, found.how) if found.how else (found.what,):
        assert set(texts) == set(LANGUAGES)
        assert all(text.strip() for text in texts.values())
        places = {
            language: {name for _, name, _, _ in Formatter().parse(text) if name} for language, text in texts.items()
        }
        assert places["vi"] == places["en"] == places["zh"]


def texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return []


def schema_id(record: str) -> int:
    return ALL_TYPES.index(record) + 1


@pytest.fixture(scope="module")
def writers() -> WriterSchemas:
    return WriterSchemas({schema_id(name): (name, avro_files.current(name).raw) for name in avro_files.LANE_TYPES})
