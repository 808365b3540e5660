"""Logins: the right one delivers, a wrong one and a foreign lane are said in plain words, and no secret is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal_events import directive
from portalbus.infra.stack import Endpoints, Stack
from portalbus.infra.stack.containers import RunningStack
from portalbus.producers import Portal
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry
from secured_kafka import SecuredKafka, login


@pytest.fixture(scope="module")
def secured(
    stack: RunningStack, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredKafka]:
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


@pytest.mark.parametrize(
    ("agency", "credentials", "words"),
    [
        ("H26", login("h26"), None),
        ("H26", login("h26", "guessed"), "login refused"),
        ("H29", login("h26"), "not allowed to write lane.H29"),
    ],
)
def test_a_portal_logs_in(
    secured: SecuredKafka,
    endpoints: Endpoints,
    tmp_path: Path,
    eventually: Callable[[Callable[[], bool]], bool],
    capfd: pytest.CaptureFixture[str],
    agency: str,
    credentials: dict[str, str],
    words: str | None,
) -> None:
    with Portal(
        agency, bootstrap=secured.bootstrap, registry_url=endpoints.registry_url, outbox=tmp_path, kafka=credentials
    ) as portal:
        portal.publish(directive(1))
        if words is None:
            assert portal.flush(30)
        else:
            assert eventually(lambda: words in (portal.status().last_error or "")), portal.status().last_error
            assert portal.status().undelivered == 1, "kept until the login works"
    said = capfd.readouterr()
    assert credentials["sasl.password"] not in said.out + said.err + str(portal.status())
