"""The gateway answers as its OpenAPI document says; `tests/chaos/test_gateway.py` asks many times more."""

from __future__ import annotations

from pathlib import Path

from gateway_described import assert_answers_as_described
from portalbus.infra.stack import Endpoints

AGENCY = "H44"


def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(endpoints: Endpoints, tmp_path: Path) -> None:
    assert_answers_as_described(endpoints, tmp_path, AGENCY, examples=8, phases="examples,fuzzing")
