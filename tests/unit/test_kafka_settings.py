"""TLS and SASL from the environment, for both Kafka libraries; and that no module goes round them."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from certificates import Authority
from portalbus.schemas.kafka_settings import (
    KNOWN,
    MECHANISMS,
    aiokafka_settings,
    brokers_in,
    kafka_from_env,
    librdkafka_settings,
)
from portalbus.streams.settings import StreamSettings

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "producers", "streams", "connectors", "infra")
HERE = "schemas/portalbus/schemas/kafka_settings.py"
OF_ITS_OWN = {"producers/portalbus/producers/testing/bus.py"}
"""librdkafka's mock cluster inside the process, which nobody can log in to."""

PASSWORD = "very-secret"
LOGIN = {
    "PORTALBUS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "PORTALBUS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "PORTALBUS_KAFKA_SASL_USERNAME": "centre-worker",
    "PORTALBUS_KAFKA_SASL_PASSWORD": PASSWORD,
}


def bare_clients(source: str) -> Iterator[int]:
    """Lines on which a client gets its address from elsewhere than `kafka_settings`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in ("bootstrap.servers", "metadata.broker.list"):
            yield node.lineno
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].startswith("AIOKafka"):
            yield from (node.lineno for keyword in node.keywords if keyword.arg == "bootstrap_servers")


def test_no_module_builds_a_client_from_a_bare_address() -> None:
    found = [
        f"{name}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) != HERE and name not in OF_ITS_OWN
        for line in bare_clients(path.read_text(encoding="utf-8"))
    ]
    assert found == [], f"take librdkafka_settings or aiokafka_settings of {HERE}"


def test_a_bare_client_would_be_found() -> None:
    assert [*bare_clients('Consumer({"bootstrap.servers": where})')] == [1]
    assert [*bare_clients("aiokafka.AIOKafkaConsumer(bootstrap_servers=where)")] == [1]
    assert not [*bare_clients("Consumer(librdkafka_settings(where)); AIOKafkaConsumer(**aiokafka_settings(where))")]


def test_without_variables_it_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN:
        monkeypatch.delenv(name, raising=False)
    assert librdkafka_settings("kafka:9092") == {"bootstrap.servers": "kafka:9092"}
    assert aiokafka_settings("kafka:9092", {}) == {"bootstrap_servers": "kafka:9092", "security_protocol": "PLAINTEXT"}


def test_librdkafka_takes_what_concerns_the_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**LOGIN, "PORTALBUS_KAFKA_LINGER_MS": "5", "PORTALBUS_KAFKA_SSL_CA_LOCATION": ""}.items():
        monkeypatch.setenv(name, value)
    assert librdkafka_settings("kafka:9093") == {
        "bootstrap.servers": "kafka:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "centre-worker",
        "sasl.password": PASSWORD,
    }
    assert librdkafka_settings("kafka:9093", {"linger.ms": "5"}) == {
        "bootstrap.servers": "kafka:9093",
        "linger.ms": "5",
    }


def test_librdkafka_knows_everything_that_a_worker_knows() -> None:
    said = dict.fromkeys(KNOWN - {"sasl.mechanisms", "security.protocol"}, "")
    right = {
        "sasl.mechanism": "PLAIN",
        "ssl.endpoint.identification.algorithm": "https",
        "enable.ssl.certificate.verification": "true",
    }
    AdminClient(librdkafka_settings("127.0.0.1:1", said | right))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_aiokafka_gets_the_same_login(mechanism: str) -> None:
    found = aiokafka_settings("kafka:9093", {**LOGIN, "PORTALBUS_KAFKA_SASL_MECHANISM": mechanism})
    context = found.pop("ssl_context")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert found == {
        "bootstrap_servers": "kafka:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "centre-worker",
        "sasl_plain_password": PASSWORD,
    }


def test_aiokafka_shows_its_certificate_and_trusts_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("centre-worker")
    variables = {
        "PORTALBUS_KAFKA_SECURITY_PROTOCOL": "SSL",
        "PORTALBUS_KAFKA_SSL_CA_LOCATION": str(authority.certificate),
        "PORTALBUS_KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
        "PORTALBUS_KAFKA_SSL_KEY_LOCATION": str(key),
    }
    context = aiokafka_settings("kafka:9093", variables)["ssl_context"]
    assert [dict(pair[0] for pair in one["subject"])["commonName"] for one in context.get_ca_certs()] == [
        "portalbus tests"
    ]
    unnamed = {**variables, "PORTALBUS_KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM": "none"}
    assert not aiokafka_settings("kafka:9093", unnamed)["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"PORTALBUS_KAFKA_SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL must be one of PLAINTEXT, SSL"),
        ({"PORTALBUS_KAFKA_SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM must be one of PLAIN, SCRAM"),
        ({"PORTALBUS_KAFKA_SASL_PASSWORD": ""}, "set PORTALBUS_KAFKA_SASL_PASSWORD"),
        ({"PORTALBUS_KAFKA_SSL_KEYSTORE_LOCATION": "a.p12"}, "SSL_KEYSTORE_LOCATION: a worker cannot do this"),
        ({"PORTALBUS_KAFKA_SSL_CA_LOCATION": "/nowhere/ca.crt"}, "SSL_CA_LOCATION or .* no certificates can be read"),
        ({"PORTALBUS_KAFKA_SSL_CA_PEM": "no certificate"}, "no certificates can be read there"),
        ({"PORTALBUS_KAFKA_SSL_CERTIFICATE_LOCATION": "/nowhere/user.crt"}, "SSL_KEY_LOCATION: no certificate with"),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_variable(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        aiokafka_settings("kafka:9093", LOGIN | wrong)
    assert PASSWORD not in str(caught.value)


def test_what_kubernetes_says_of_a_service_is_no_property() -> None:
    service = {
        "PORTALBUS_KAFKA_BOOTSTRAP_SERVICE_HOST": "10.0.0.1",
        "PORTALBUS_KAFKA_BOOTSTRAP_SERVICE_PORT": "9091",
        "PORTALBUS_KAFKA_BOOTSTRAP_SERVICE_PORT_TCP_CLIENTSTLS": "9093",
        "PORTALBUS_KAFKA_BOOTSTRAP_PORT": "tcp://10.0.0.1:9091",
        "PORTALBUS_KAFKA_BOOTSTRAP_PORT_9093_TCP_ADDR": "10.0.0.1",
    }
    said = {"PORTALBUS_KAFKA_SASL_KERBEROS_SERVICE_NAME": "kafka"}
    assert kafka_from_env({**service, **said}) == {"sasl.kerberos.service.name": "kafka"}


def test_a_process_ends_with_a_usage_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTALBUS_KAFKA_SECURITY_PROTOCOL", "TLS")
    where = ["--bootstrap", "kafka:9093", "--registry-url", "http://r", "--database-url", "postgresql://p"]
    with pytest.raises(SystemExit) as ended:
        StreamSettings.parse("portalbus-worker", where)
    assert ended.value.code == 2
    assert "PORTALBUS_KAFKA_SECURITY_PROTOCOL must be one of" in capsys.readouterr().err


def test_brokers_are_hosts_and_ports() -> None:
    assert brokers_in("kafka-1:9092, [::1]:9093") == [("kafka-1", 9092), ("::1", 9093)]


@pytest.mark.parametrize("bootstrap", ["kafka", "kafka:", ":9092", "kafka:port", "kafka:9092,", "kafka:99999"])
def test_a_broker_without_a_port_is_told_at_once(bootstrap: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--bootstrap", bootstrap, "--registry-url", "http://r", "--database-url", "postgresql://d"]
    with pytest.raises(SystemExit):
        StreamSettings.parse("portalbus-worker", flags)
    assert "bootstrap servers are host:port" in capsys.readouterr().err
