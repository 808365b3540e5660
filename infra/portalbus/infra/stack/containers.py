"""The same three services in containers, for tests on a machine with a container engine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from portalbus.infra.stack import kafka, postgres, registry
from portalbus.infra.stack.endpoints import Endpoints
from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.ports import LOOPBACK, Ports, choose

IMAGES = {
    "kafka": "apache/kafka:4.4.0",
    "registry": "apicurio/apicurio-registry:3.3.3",
    "postgres": "postgres:18",
}
START_PATIENCE_S = 180.0


class Restartable(Protocol):
    """One service of a running stack, embedded or in a container; it keeps its port and data."""

    name: str

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """End it in an orderly way."""

    def kill(self) -> None:
        """End it as a power cut would."""


class RunningStack(Protocol):
    """What tests may ask of a stack, whichever way it runs."""

    @property
    def endpoints(self) -> Endpoints: ...
    @property
    def kafka(self) -> Restartable: ...
    @property
    def registry(self) -> Restartable: ...
    @property
    def postgres(self) -> Restartable: ...


def why_no_engine() -> str | None:
    """Say why containers cannot be used here; None when a local container engine answers."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "this is itself a container, so the ports of others are not on its loopback address"
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return f"the container engine is not on this machine ({address})"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(address.removeprefix("unix://"))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            status = probe.recv(64).split(b"\r\n")[0]
        except OSError as error:
            return f"no container engine answers at {address} ({error.strerror or error})"
    return None if b"200" in status else f"the container engine at {address} answers {status.decode()!r}"


class Container:
    """One service in a container, on a loopback port that it keeps."""

    def __init__(
        self,
        name: str,
        network: Network,
        port: tuple[int, int],
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
    ) -> None:
        inside, outside = port
        self.name = name
        self._is_ready = is_ready
        self._container = DockerContainer(IMAGES[name]).with_envs(**environment)
        self._container.with_network(network).with_network_aliases(name)
        # testcontainers' own method binds to every address of the machine.
        self._container.ports[f"{inside}/tcp"] = cast(Any, (LOOPBACK, outside))
        self._created = False

    def start(self) -> None:
        """Start it and wait until it answers; StackError with its last words when it does not."""
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        deadline = time.monotonic() + START_PATIENCE_S
        while not self._is_ready():
            if time.monotonic() > deadline:
                out, err = self._container.get_logs()
                raise StackError(f"the container {self.name} does not answer", (out + err).decode()[-2000:])
            time.sleep(0.2)

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=15)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill("SIGKILL")

    def remove(self) -> None:
        self._container.stop()


class ContainerStack:
    """Kafka, registry and PostgreSQL in containers. A context manager; satisfies RunningStack."""

    def __init__(self) -> None:
        self._ports = choose(None, lambda text: None, usual=None)
        self._passwords = postgres.new_passwords()
        self._network = Network()
        self._resources = ExitStack()
        self.kafka = self._kafka(self._ports)
        self.postgres = self._postgres(self._ports)
        self.registry = self._registry(self._ports)

    @property
    def endpoints(self) -> Endpoints:
        database = postgres.uri("portalbus", self._passwords["portalbus"], self._ports.postgres, "portalbus")
        return Endpoints(f"{LOOPBACK}:{self._ports.kafka}", self._registry_url, database)

    @property
    def _registry_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports.registry}{registry.API}"

    @property
    def _superuser_uri(self) -> str:
        password = self._passwords[postgres.SUPERUSER]
        return postgres.uri(postgres.SUPERUSER, password, self._ports.postgres, "postgres")

    def _kafka(self, ports: Ports) -> Container:
        bootstrap = f"{LOOPBACK}:{ports.kafka}"
        settings = {
            **kafka.SETTINGS,
            "listeners": "BROKER://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
            "advertised.listeners": f"BROKER://{bootstrap}",
            "controller.quorum.voters": "1@127.0.0.1:9093",
        }
        environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}

        def ready() -> bool:
            return kafka.answers(bootstrap)

        return Container("kafka", self._network, (9092, ports.kafka), environment, ready)

    def _postgres(self, ports: Ports) -> Container:
        environment = {
            "POSTGRES_USER": postgres.SUPERUSER,
            "POSTGRES_PASSWORD": self._passwords[postgres.SUPERUSER],
            "POSTGRES_INITDB_ARGS": "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8",
        }

        def ready() -> bool:
            return postgres.answers(self._superuser_uri)

        return Container("postgres", self._network, (5432, ports.postgres), environment, ready)

    def _registry(self, ports: Ports) -> Container:
        environment = {
            "APICURIO_STORAGE_SQL_KIND": "postgresql",
            "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://postgres:5432/{registry.DATABASE}",
            "APICURIO_DATASOURCE_USERNAME": registry.DATABASE,
            "APICURIO_DATASOURCE_PASSWORD": self._passwords[registry.DATABASE],
            "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "1",
            "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "1",
        }

        def ready() -> bool:
            return registry.answers(self._registry_url)

        return Container("registry", self._network, (8080, ports.registry), environment, ready)

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._network.create()
            resources.callback(self._network.remove)
            for container in (self.kafka, self.postgres, self.registry):
                resources.callback(container.remove)
                container.start()
                if container is self.postgres:
                    postgres.create_databases(self._superuser_uri, self._passwords)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()
