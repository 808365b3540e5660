"""One running Kafka, registry and PostgreSQL for the whole session.

In containers when an engine answers, else embedded, unless `PORTALBUS_TEST_STACK` says which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from portalbus.infra.stack import Endpoints, Lines, Stack
from portalbus.infra.stack.containers import ContainerStack, RunningStack, why_no_engine


def pytest_configure(config: pytest.Config) -> None:
    """Before several processes run tests, what the first start fetches is fetched where it can be seen."""
    if config.getoption("numprocesses", None) and wanted_kind() == "embedded":
        Stack(progress=Lines()).fetch()


def wanted_kind() -> str:
    """`embedded` or `containers`."""
    return os.environ.get("PORTALBUS_TEST_STACK") or ("embedded" if why_no_engine() else "containers")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Give a running stack; whoever kills a part of it starts it again."""
    if wanted_kind() == "containers":
        with ContainerStack() as containers:
            yield containers
        return
    capture = request.config.pluginmanager.getplugin("capturemanager")
    progress = Lines()
    embedded = Stack(tmp_path_factory.mktemp("stack"), progress=progress, usual_ports=None)
    # The first start fetches the Java parts: let it be seen.
    with capture.global_and_fixture_disabled():
        print(flush=True)
        embedded.up()
    try:
        yield embedded
    finally:
        embedded.down()


@pytest.fixture(scope="session")
def endpoints(stack: RunningStack) -> Endpoints:
    """Give the addresses of the running stack."""
    return stack.endpoints
