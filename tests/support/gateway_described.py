"""Schemathesis over a gateway: whatever the OpenAPI document allows or forbids is sent, every answer is checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway_process import GatewayProcess
from lanes import make_topics
from portalbus.infra.stack import Endpoints
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def assert_answers_as_described(endpoints: Endpoints, folder: Path, agency: str, *, examples: int, phases: str) -> None:
    """No 5xx and no undocumented answer, for so many examples an address."""
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, agency)
    gateway = GatewayProcess(endpoints, folder, "--canary-s", "0", "--longest-wait-s", "0.05").start()
    try:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{gateway.address}/openapi.json"),
                *("--header", f"Authorization: Bearer {gateway.key(agency)}"),
                *("--checks", CHECKS, "--max-examples", str(examples), "--seed", "20261122", "--workers", "2"),
                *("--request-timeout", "15", "--phases", phases, "--mode", "all"),
                # A stream does not end; it is read in test_gateway_bus.py.
                *("--exclude-path", "/v1/verdicts/stream"),
            ],
            capture_output=True,
            text=True,
            timeout=280,
            cwd=folder,
        )
    finally:
        assert gateway.stop() == 0, gateway.log.read_text()[-3_000:]
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert not gateway.said("gateway.failed")
