"""The gateway answers as its OpenAPI document says, whatever is sent: no 5xx, no undocumented answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway_process import GatewayProcess
from lanes import make_topics
from portalbus.infra.stack import Endpoints
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

pytestmark = pytest.mark.chaos  # minutes long: run by name, not by `make test`

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("examples", [25, pytest.param(400, marks=pytest.mark.chaos)])
def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(
    examples: int, endpoints: Endpoints, tmp_path: Path
) -> None:
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, "H26")
    gateway = GatewayProcess(endpoints, tmp_path, "--canary-s", "0").start()
    try:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{gateway.address}/openapi.json"),
                *("--header", f"Authorization: Bearer {gateway.key('H26', 'www')}"),
                *("--checks", CHECKS, "--max-examples", str(examples), "--seed", "20261122", "--workers", "2"),
                *("--request-timeout", "15", "--phases", "examples,coverage,fuzzing", "--mode", "all"),
                # A stream does not end; it is read in test_gateway_bus.py.
                *("--exclude-path", "/v1/verdicts/stream"),
            ],
            capture_output=True,
            text=True,
            timeout=280,
            cwd=tmp_path,
        )
    finally:
        assert gateway.stop() == 0, gateway.log.read_text()[-3_000:]
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert not gateway.said("gateway.failed")
