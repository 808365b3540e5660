"""Every topic has one file that says what it is for, who owns, writes and reads it, and what is on it."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from portalbus.schemas import avro_files, codec, topics
from portalbus.schemas.topics import TopicContract

CONTRACTS = topics.contracts()


def named(contract: TopicContract) -> str:
    return contract.name


def test_the_topics_are_these() -> None:
    assert [contract.name for contract in CONTRACTS] == [
        "central.alert",
        "central.directive-published",
        "central.feedback-progressed",
        "central.feedback-received",
        "central.feedback-resolved",
        "central.relay-position",
        "lane.<agency>",
        "verdict.<agency>",
    ]


def test_the_names_in_code_are_the_names_in_the_files() -> None:
    known = {contract.name for contract in CONTRACTS}
    assert {*topics.CANONICAL.values(), topics.RELAY_POSITION, topics.ALERTS} <= known
    assert {topics.lane_of("<agency>".upper()).replace("<AGENCY>", "<agency>")} <= known
    assert topics.lane_of("H26") == contract_of("lane.<agency>").name_for("H26") == "lane.H26"
    assert topics.verdicts_of("h26") == contract_of("verdict.<agency>").name_for("H26") == "verdict.H26"


@pytest.mark.parametrize("contract", CONTRACTS, ids=named)
def test_a_topic_says_what_it_is_for_and_who_is_behind_it(contract: TopicContract) -> None:
    assert contract.purpose.endswith(".") and len(contract.purpose) > 20
    assert contract.owner.strip()
    assert contract.writers and contract.readers
    assert contract.partitions >= 1


@pytest.mark.parametrize("contract", CONTRACTS, ids=named)
def test_a_topic_carries_schemas_that_exist(contract: TopicContract) -> None:
    assert set(contract.schemas) <= set(avro_files.ALL_TYPES)
    assert contract.schemas or contract.name == topics.RELAY_POSITION


def test_every_contract_is_on_a_topic() -> None:
    assert {schema for contract in CONTRACTS for schema in contract.schemas} == set(avro_files.ALL_TYPES)


@pytest.mark.parametrize("contract", CONTRACTS, ids=named)
def test_a_topic_is_a_log_that_is_never_compacted(contract: TopicContract) -> None:
    assert contract.config["cleanup.policy"] == "delete"
    assert all(isinstance(value, str) for value in contract.config.values())


def test_a_lane_keeps_everything_in_one_order_and_takes_what_must_be_parked() -> None:
    lane = contract_of("lane.<agency>")
    assert lane.per_agency
    assert lane.partitions == 1
    assert lane.config["retention.ms"] == "-1"
    assert set(lane.schemas) == set(avro_files.LANE_TYPES)
    assert int(lane.config["max.message.bytes"]) > 2**20 > codec.MAX_VALUE_BYTES


def test_each_payload_but_the_canary_has_its_canonical_topic() -> None:
    assert set(topics.CANONICAL) == set(avro_files.PAYLOAD_TYPES) - {"Canary"}
    for payload, topic in topics.CANONICAL.items():
        assert contract_of(topic).schemas == (payload,)


def test_a_topic_file_has_no_key_that_nothing_reads() -> None:
    allowed = {"name", "purpose", "owner", "writers", "readers", "schemas", "partitions", "config"}
    for entry in files("portalbus.schemas").joinpath("topics").iterdir():
        assert entry.name.endswith(".toml"), entry
        row = tomllib.loads(entry.read_text(encoding="utf-8"))
        assert set(row) == allowed
        assert entry.name == row["name"].replace(".<agency>", "") + ".toml"


def contract_of(name: str) -> TopicContract:
    return next(contract for contract in CONTRACTS if contract.name == name)
