"""The three services do what the rest is built on, and keep what they have acknowledged through kill -9."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from portalbus.infra.stack import Endpoints, Stack
from portalbus.infra.stack.containers import RunningStack

LOG_APPEND_TIME = 2
RECORD = {"type": "record", "name": "Note", "fields": [{"name": "text", "type": "string"}]}
WITHOUT_TEXT = {"type": "record", "name": "Note", "fields": [{"name": "number", "type": "long"}]}


@pytest.fixture
def topic(endpoints: Endpoints) -> str:
    """Make a topic of one partition."""
    name = f"test-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": endpoints.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


@pytest.fixture
def subject() -> str:
    return f"test.Note{uuid4().hex[:8]}"


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, message: errors.append(error))
    assert producer.flush(30) == 0
    assert errors == [None] * len(values)


def consume(bootstrap: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=60)
    finally:
        consumer.close()
    assert [message.error() for message in messages] == [None] * count
    return messages


def call(url: str, body: object = None, method: str | None = None) -> tuple[int, Any]:
    """Ask the registry; return status and decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(url, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def register(url: str, subject: str, schema: object) -> tuple[int, Any]:
    return call(f"{url}/subjects/{subject}/versions", {"schema": json.dumps(schema)})


def test_kafka_gives_back_what_it_took_with_its_own_time(endpoints: Endpoints, topic: str) -> None:
    produce(endpoints.bootstrap, topic, [b"a", b"b", b"c"])
    messages = consume(endpoints.bootstrap, topic, 3)
    assert [message.value() for message in messages] == [b"a", b"b", b"c"]
    assert [message.offset() for message in messages] == [0, 1, 2]
    assert {message.timestamp()[0] for message in messages} == {LOG_APPEND_TIME}


def test_kafka_takes_a_value_of_one_mebibyte(endpoints: Endpoints, topic: str) -> None:
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": endpoints.bootstrap, "message.max.bytes": 2_000_000})
    producer.produce(topic, b"x" * 1_048_576, b"key", on_delivery=lambda error, message: errors.append(error))
    assert producer.flush(30) == 0
    assert errors == [None]


def test_kafka_does_not_make_topics_by_itself(endpoints: Endpoints) -> None:
    consumer = Consumer({"bootstrap.servers": endpoints.bootstrap, "group.id": "x", "log_level": 0})
    try:
        consumer.list_topics("test-never-made", timeout=10)
        assert "test-never-made" not in consumer.list_topics(timeout=10).topics
    finally:
        consumer.close()


def test_kafka_commits_transactions_exactly_once(endpoints: Endpoints, topic: str) -> None:
    producer = Producer({"bootstrap.servers": endpoints.bootstrap, "transactional.id": uuid4().hex})
    producer.init_transactions(30)
    for value, end in ((b"kept", producer.commit_transaction), (b"dropped", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        end(30)
    produce(endpoints.bootstrap, topic, [b"after"])
    assert [message.value() for message in consume(endpoints.bootstrap, topic, 2)] == [b"kept", b"after"]


def test_registry_refuses_a_schema_that_breaks_its_subject(endpoints: Endpoints, subject: str) -> None:
    url = endpoints.registry_url
    assert register(url, subject, RECORD)[0] == 200
    assert call(f"{url}/config/{subject}", {"compatibility": "FULL_TRANSITIVE"}, "PUT")[0] == 200
    versions = f"{url}/compatibility/subjects/{subject}/versions/latest"
    assert call(versions, {"schema": json.dumps(WITHOUT_TEXT)}) == (200, {"is_compatible": False})
    assert register(url, subject, WITHOUT_TEXT)[0] == 409


def test_registry_gives_a_schema_the_same_id_twice(endpoints: Endpoints, subject: str) -> None:
    first = register(endpoints.registry_url, subject, RECORD)
    assert first[0] == 200
    assert register(endpoints.registry_url, subject, RECORD) == first
    status, found = call(f"{endpoints.registry_url}/schemas/ids/{first[1]['id']}")
    assert (status, json.loads(found["schema"])) == (200, RECORD)


def test_postgresql_folds_vietnamese_and_searches_parts_of_words(endpoints: Endpoints) -> None:
    with psycopg.connect(endpoints.database_url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        row = connection.execute(
            "SELECT unaccent('kết nối Đà Nẵng'), similarity('kết nối', 'kết nối') = 1, lower('ĐẾN')"
        ).fetchone()
    assert row == ("ket noi Da Nang", True, "đến")


def test_postgresql_is_the_promised_one_and_durable(endpoints: Endpoints) -> None:
    def show(name: str) -> object:
        row = connection.execute(f"SHOW {name}").fetchone()
        return row and row[0]

    with psycopg.connect(endpoints.database_url) as connection:
        assert str(show("server_version")).startswith("18.")
        names = ("server_encoding", "fsync", "synchronous_commit", "full_page_writes")
        assert [show(name) for name in names] == ["UTF8", "on", "on", "on"]


def test_kafka_keeps_what_it_acknowledged_through_kill_9(stack: RunningStack, topic: str) -> None:
    bootstrap = stack.endpoints.bootstrap
    values = [b"%d" % number for number in range(2000)]
    produce(bootstrap, topic, values)
    stack.kafka.kill()
    stack.kafka.start()
    assert [message.value() for message in consume(bootstrap, topic, len(values))] == values


def test_postgresql_keeps_what_it_committed_through_kill_9(stack: RunningStack) -> None:
    url = stack.endpoints.database_url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE survivors AS SELECT generate_series(1, 5000) AS number")
    stack.postgres.kill()
    stack.postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT sum(number) FROM survivors").fetchone() == (12_502_500,)
        connection.execute("DROP TABLE survivors")


def test_registry_keeps_its_schemas_through_kill_9(stack: RunningStack, subject: str) -> None:
    url = stack.endpoints.registry_url
    registered = register(url, subject, RECORD)
    stack.registry.kill()
    stack.registry.start()
    assert registered[0] == 200
    assert register(url, subject, RECORD) == registered


def test_registry_recovers_by_itself_when_postgresql_was_killed(
    stack: RunningStack, subject: str, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    url = stack.endpoints.registry_url
    stack.postgres.kill()
    stack.postgres.start()
    assert eventually(lambda: register(url, subject, RECORD)[0] == 200)


def test_an_old_producer_goes_on_after_kafka_was_killed(stack: RunningStack, topic: str) -> None:
    bootstrap = stack.endpoints.bootstrap
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})
    try:
        producer.produce(topic, b"before", on_delivery=lambda error, message: errors.append(error))
        assert producer.flush(30) == 0
        stack.kafka.kill()
        producer.produce(topic, b"meanwhile", on_delivery=lambda error, message: errors.append(error))
        stack.kafka.start()
        assert producer.flush(60) == 0
    except KafkaException as error:
        pytest.fail(f"the producer gave up: {error}")
    assert errors == [None, None]
    assert [message.value() for message in consume(bootstrap, topic, 2)] == [b"before", b"meanwhile"]


def test_the_registry_answers_where_the_kubernetes_file_asks(stack: RunningStack) -> None:
    if not isinstance(stack, Stack):
        pytest.skip("the management port is reached on the embedded stack alone")
    place = Path(__file__).parents[2] / "infra" / "kubernetes" / "15-registry.yaml"
    resources = yaml.safe_load_all(place.read_text(encoding="utf-8"))
    pod = next(one for one in resources if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {"http": stack.registry.port, "management": stack.registry.management_port}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[asked['port']]}{asked['path']}", timeout=10) as answer:
            assert answer.status == 200
