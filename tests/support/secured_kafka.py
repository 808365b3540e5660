"""A broker that asks for a login and holds each principal to its own lane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from portalbus.infra.stack import kafka as local
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.ports import choose

USERS = {"operator": "operator-password", "h26": "h26-password"}


def login(user: str, password: str | None = None) -> dict[str, str]:
    """The librdkafka properties of a login."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password or USERS[user],
    }


class SecuredKafka(local.Kafka):
    """The local broker with SASL/PLAIN and Kafka's own authorizer; h26 may write lane.H26 and nothing else."""

    def __init__(self, home: Path, jars: Callable[[], list[Path]]) -> None:
        state = StateFolder.at(home)
        for folder in (state.run, state.logs):
            folder.mkdir(parents=True, exist_ok=True)
        ports = choose(None, lambda _: None, usual=None)
        super().__init__(state, ports.kafka, ports.kafka_controller, jars)

    def _write_settings(self, data: Path) -> Path:
        path = super()._write_settings(data)
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        settings = {
            "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
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

    def is_ready(self) -> bool:
        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def admin(self) -> AdminClient:
        """The operator's client."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, **login("operator")})

    def provision(self) -> None:
        """Makes two lanes, and lets h26 write its own."""
        admin = self.admin()
        topics = [NewTopic(name, 1, 1) for name in ("lane.H26", "lane.H29")]
        for future in admin.create_topics(topics).values():
            future.result(30)
        rights = [
            AclBinding(
                ResourceType.TOPIC,
                "lane.H26",
                ResourcePatternType.LITERAL,
                "User:h26",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in (AclOperation.WRITE, AclOperation.DESCRIBE)
        ]
        for future in admin.create_acls(rights).values():
            future.result(30)
