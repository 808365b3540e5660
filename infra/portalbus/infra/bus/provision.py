"""Topics of the bus in a Kafka cluster: made when missing, held to their contracts, never made smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from portalbus.infra.stack.errors import StackError
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.topics import TopicContract, contracts

TIMEOUT_S = 30.0
CHUNK = 50
"""Topics a request; a broker on a small disk makes about a hundred a second."""

T = TypeVar("T")


@dataclass(frozen=True)
class WantedTopic:
    """A topic as its contract wants it."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class TopicProblem:
    """How a topic differs from its contract: `what` is a clause, `mendable` tells whether `provision` can mend it."""

    topic: str
    what: str
    mendable: bool = True

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}"


def wanted_topics(
    agencies: Iterable[str], topic_contracts: Iterable[TopicContract] | None = None
) -> dict[str, WantedTopic]:
    """Every topic of a bus with these agencies, by name."""
    codes = tuple(agencies)
    wanted: dict[str, WantedTopic] = {}
    for contract in topic_contracts or contracts():
        names = [contract.name_for(code) for code in codes] if contract.per_agency else [contract.name]
        wanted.update({name: WantedTopic(name, contract.partitions, contract.config) for name in names})
    return wanted


def admin_client(bootstrap: str, login: Mapping[str, str] | None = None) -> AdminClient:
    """An admin client that gives up on a broker that does not answer; the login is the environment's unless given."""
    return AdminClient({"socket.timeout.ms": 10_000, "log_level": 3} | librdkafka_settings(bootstrap, login))


def provision(
    admin: AdminClient, wanted: Mapping[str, WantedTopic], note: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, tuple[TopicProblem, ...]]:
    """Makes the topics that are missing and mends the settings of the others; any number of times.

    Returns how many were made, and what was mended. `note` hears how many of how many are done. Raises StackError
    for a topic that cannot be mended: its partitions would have to become fewer, or more than its order allows.
    """
    present = present_partitions(admin)
    missing = [topic for name, topic in wanted.items() if name not in present]
    for start in range(0, len(missing), CHUNK):
        _create(admin, missing[start : start + CHUNK])
        note(min(start + CHUNK, len(missing)), len(missing))
    old = {name: topic for name, topic in wanted.items() if name in present}
    problems = tuple(find_problems(admin, old, present))
    for problem in problems:
        if not problem.mendable:
            raise StackError(
                f"the topic {problem}", "move its data to a new topic; the bus does not change partitions itself"
            )
    _mend(admin, [old[name] for name in {problem.topic for problem in problems}])
    return len(missing), problems


def find_problems(
    admin: AdminClient, wanted: Mapping[str, WantedTopic], present: Mapping[str, int] | None = None
) -> Iterable[TopicProblem]:
    """Every difference between the wanted topics and those of the cluster."""
    there = present_partitions(admin) if present is None else present
    for name in wanted:
        if name not in there:
            yield TopicProblem(name, "does not exist")
        elif there[name] != wanted[name].partitions:
            yield TopicProblem(name, f"has {there[name]} partitions, not {wanted[name].partitions}", mendable=False)
    names = [name for name in wanted if name in there]
    for start in range(0, len(names), CHUNK):
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + CHUNK]]
        for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT_S).items():
            yield from _config_problems(wanted[resource.name], _value(future))


def present_partitions(admin: AdminClient) -> dict[str, int]:
    """Every topic of the cluster with its number of partitions."""
    topics = admin.list_topics(timeout=TIMEOUT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _config_problems(topic: WantedTopic, found: Mapping[str, Any]) -> Iterable[TopicProblem]:
    for key, value in topic.config.items():
        entry = found.get(key)
        if entry is None or entry.value != value:
            yield TopicProblem(topic.name, f"{key} is {entry.value if entry else 'unset'}, not {value}")


def _create(admin: AdminClient, topics: list[WantedTopic]) -> None:
    new = [
        NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=-1, config=dict(topic.config))
        for topic in topics
    ]
    for future in admin.create_topics(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).values():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _mend(admin: AdminClient, topics: list[WantedTopic]) -> None:
    resources = []
    for topic in topics:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in topic.config.items()
        ]
        resources.append(ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries))
    if resources:
        for future in admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S).values():
            _value(future)


def _value(future: Future[T]) -> T:
    return future.result(TIMEOUT_S)
