"""Logins: the right one delivers, a wrong one and a foreign lane are said in plain words, and no secret is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portal_events import directive
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from secured_kafka import SecuredKafka


@pytest.mark.parametrize(
    ("agency", "password", "words"),
    [
        ("H26", None, None),
        ("H26", "guessed", "login refused"),
        ("H29", None, "not allowed to write lane.H29"),
    ],
)
def test_a_portal_logs_in(
    secured: SecuredKafka,
    endpoints: Endpoints,
    tmp_path: Path,
    eventually: Callable[[Callable[[], bool]], bool],
    capfd: pytest.CaptureFixture[str],
    agency: str,
    password: str | None,
    words: str | None,
) -> None:
    credentials = secured.login("h26", password)
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
