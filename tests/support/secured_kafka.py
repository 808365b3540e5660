"""A broker that asks for a login, speaks TLS alone, and holds each principal to its rights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from certificates import Authority
from portalbus.infra.generate.strimzi import strimzi_resources
from portalbus.infra.stack import Endpoints, Stack
from portalbus.infra.stack import kafka as local
from portalbus.infra.stack.containers import RunningStack
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import LOOPBACK, choose
from portalbus.infra.stack.process import Command
from portalbus.schemas.kafka_settings import PREFIX, librdkafka_settings
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

PEOPLE = (
    "operator",
    "h26",
    "agency-h17",
    "centre-relay",
    "centre-casework",
    "centre-warning",
    "centre-console",
    "centre-operator",
)
USERS = {name: f"{name}-password" for name in PEOPLE}
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


DENIED = re.compile(
    r"Principal = User:(\S+) is Denied operation = (\w+) from host = \S+ on resource = (\w+):LITERAL:(\S+)"
    r" for request = (\w+)"
)


class Denial(NamedTuple):
    """One refusal of the authorizer: operations and requests are named as Kafka names them."""

    user: str
    operation: str
    kind: str
    name: str
    request: str


class SecuredKafka(local.Kafka):
    """The local broker with SASL/PLAIN over TLS at `bootstrap`, and with client certificates at `by_certificate`.

    Kafka's own authorizer holds everybody but the operator to what was allowed.
    """

    def __init__(self, home: Path, other: local.Kafka) -> None:
        """Made of the same parts as the `other` one."""
        state = StateFolder.at(home)
        for folder in (state.run, state.logs):
            folder.mkdir(parents=True, exist_ok=True)
        ports = choose(None, lambda _: None, usual=None)
        super().__init__(state, ports.kafka, ports.kafka_controller, other._jars, other._quick_start)
        self.by_certificate = f"{LOOPBACK}:{ports.registry}"
        self._authority = Authority(home / "certificates")
        certificate, key = self._authority.issue("broker")
        self._key_store = home / "certificates" / "broker.pem"
        self._key_store.write_bytes(key.read_bytes() + certificate.read_bytes())

    def login(self, user: str, password: str | None = None) -> dict[str, str]:
        """The librdkafka properties of a login with a password."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": password or USERS[user],
            "ssl.ca.location": str(self._authority.certificate),
        }

    def certificate(self, user: str, *, days: int = 2, by: Authority | None = None) -> dict[str, str]:
        """The librdkafka properties of a client that shows its certificate, `by` another authority if one is given.

        With 0 days it is out of date.
        """
        certificate, key = (by or self._authority).issue(user, days)
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self._authority.certificate),
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
        }

    def _write_settings(self, data: Path) -> Path:
        path = super()._write_settings(data)
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        listeners = f"BROKER://{self.bootstrap},CERTIFIED://{self.by_certificate}"
        settings = {
            "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "BROKER:SASL_SSL,CERTIFIED:SSL,CONTROLLER:PLAINTEXT",
            "listener.name.certified.ssl.client.auth": "required",
            "listener.name.certified.ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._key_store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._authority.certificate),
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.broker.plain.sasl.jaas.config": (
                f'{module} username="operator" password="{USERS["operator"]}" {users};'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's listener has no login; only this machine reaches it.
            "super.users": "User:operator;User:ANONYMOUS",
        }
        with path.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        return path

    def _java(self, main: str, *arguments: str, learn: bool = False) -> Command:
        """Whoever is refused is named in the broker's log, as it is by Kafka's own settings and by Strimzi's."""
        command = super()._java(main, *arguments, learn=learn)
        named = '  <Logger name="kafka.authorizer.logger" level="INFO"/>\n</Loggers>'
        (self._run / "kafka-log4j2.xml").write_text(local.LOGGING.replace("</Loggers>", named))
        return command

    def denials(self) -> list[Denial]:
        """Whom the authorizer refused what, so far, as its log says."""
        return [Denial(*found) for found in DENIED.findall(self.log.read_text(errors="replace"))]

    def is_ready(self) -> bool:
        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def admin(self) -> AdminClient:
        """The operator's client."""
        return AdminClient({"log_level": 0} | librdkafka_settings(self.bootstrap, self.login("operator")))

    def provision(self) -> None:
        """Makes the topics of two agencies, and lets h26 write its lane."""
        admin = self.admin()
        topics = [NewTopic(f"{kind}.{agency}", 1, 1) for kind in ("lane", "verdict") for agency in ("H26", "H29")]
        for future in admin.create_topics(topics).values():
            future.result(30)
        self._allow([acl("h26", "topic", "lane.H26", operation) for operation in ("Write", "Describe")])

    def allow_as_on_kubernetes(self, *agencies: str) -> None:
        """Gives everybody the rights of the generated `KafkaUser` resources, and no others."""
        users = [one for one in yaml.safe_load_all(strimzi_resources(agencies)) if one["kind"] == "KafkaUser"]
        self._allow(
            acl(user["metadata"]["name"], right["resource"]["type"], right["resource"]["name"], operation, pattern)
            for user in users
            for right in user["spec"]["authorization"]["acls"]
            for operation in right["operations"]
            if (pattern := right["resource"]["patternType"])
        )

    def allow(self, user: str, topic: str, *operations: str) -> None:
        """Gives a user rights on a topic."""
        self._allow([acl(user, "topic", topic, operation) for operation in operations])

    def take_back(self, user: str) -> None:
        """Takes every right away from a user that had some, as deleting a `KafkaUser` does."""
        kinds = ResourceType.ANY, None, ResourcePatternType.ANY
        whatever = None, AclOperation.ANY, AclPermissionType.ANY
        anything = AclBindingFilter(*kinds, f"User:{user}", *whatever)  # type: ignore[arg-type]  # None is any name
        admin = self.admin()
        (future,) = admin.delete_acls([anything]).values()
        assert future.result(30)

    def _allow(self, rights: Iterable[AclBinding]) -> None:
        admin = self.admin()
        for future in admin.create_acls([*rights]).values():
            future.result(30)


@pytest.fixture(scope="session")
def secured(
    stack: RunningStack, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredKafka]:
    """Give a second broker, with logins and rights, beside the stack's registry."""
    if not isinstance(stack, Stack):
        pytest.skip("a second, secured broker is started from the embedded stack's parts")
    register_all(SchemaRegistry(endpoints.registry_url))
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"), stack.kafka)
    kafka.prepare()
    kafka.start()
    try:
        kafka.provision()
        yield kafka
    finally:
        kafka.stop()


def acl(user: str, kind: str, name: str, operation: str, pattern: str = "literal") -> AclBinding:
    """One right of one user, in the words of Strimzi's resources."""
    allow = AclPermissionType.ALLOW
    return AclBinding(KINDS[kind], name, PATTERNS[pattern], f"User:{user}", "*", OPERATIONS[operation], allow)


def variables(properties: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to have these properties, and none of another login."""
    usual = ("security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location")
    named: dict[str, Any] = dict.fromkeys(usual, "") | dict(properties)
    return {PREFIX + name.upper().replace(".", "_"): value for name, value in named.items()}
