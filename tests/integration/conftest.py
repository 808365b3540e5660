"""What the integration tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from portalbus.infra.stack import Endpoints, Stack
from portalbus.infra.stack.containers import RunningStack
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from secured_kafka import SecuredKafka


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Give a function that asks again and again until the answer is yes, for 90 seconds at most."""

    def ask(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 90
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return ask


@pytest.fixture(scope="session")
def secured(
    stack: RunningStack, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredKafka]:
    """Give a second broker, with logins and rights, beside the stack's registry."""
    if not isinstance(stack, Stack):
        pytest.skip("a second, secured broker is started from the embedded stack's parts")
    register_all(SchemaRegistry(endpoints.registry_url))
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"), stack.kafka._jars)
    kafka.prepare()
    kafka.start()
    try:
        kafka.provision()
        yield kafka
    finally:
        kafka.stop()
