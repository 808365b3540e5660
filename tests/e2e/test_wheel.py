"""The built wheel, installed without extras into a clean environment: what a portal backend gets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PUBLISH = """
import sys, tempfile
from datetime import UTC, datetime
from pathlib import Path
from portalbus.producers import Channel, EventRefused, FeedbackReceived, Portal, new_public_code

def received(**changes):
    fields = dict(case_id="H26-2026-000001", public_code=new_public_code(), regime="R2", category=1,
                  channel=Channel.WEB, received_at=datetime.now(UTC), addressed_to="H26",
                  subject="Đèn đường hỏng", content="Đèn đường hỏng đã ba tuần.", language="vi")
    return FeedbackReceived(**{**fields, **changes})

with Portal("H26", "www", bootstrap="", registry_url="", outbox=Path(tempfile.mkdtemp()), deliver=False) as portal:
    assert portal.publish(received()).sequence == 1
    try:
        portal.publish(received(case_id="H29-2026-000001"))
    except EventRefused as refusal:
        print(refusal.rule)
assert not {"faust", "psycopg", "fastapi", "typer", "avro"} & set(sys.modules)
"""
CPU_TIME = """
import time
import portalbus.producers
from portalbus.producers import DirectivePublished, Portal
print(time.process_time())
"""


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and what the wheel asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=PROJECT)
    wheel = next(folder.glob("portalbus-*.whl"))
    environment = folder / "environment"
    _run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--python", str(python), str(wheel)]
    # From the cache that the set-up filled, so that no second fetch is needed; else from the registry.
    if subprocess.run([*install, "--offline"], capture_output=True, check=False).returncode:
        _run(*install)
    return python


def test_the_light_wheel_publishes_and_refuses_and_pulls_in_nothing_of_the_centre(clean_python: Path) -> None:
    assert _run(str(clean_python), "-c", PUBLISH).split() == ["case.id-names-receiver"]


def test_the_command_says_which_extra_is_missing(clean_python: Path) -> None:
    command = clean_python.parent / "portalbus"
    ended = subprocess.run([str(command), "up"], capture_output=True, text=True, check=False, env=_environment())
    assert ended.returncode != 0
    assert re.search(r"portalbus\[local\]", ended.stderr)
    assert "Traceback" not in ended.stderr


def test_importing_the_sdk_takes_less_than_0_3_seconds_of_processor_time(clean_python: Path) -> None:
    assert min(float(_run(str(clean_python), "-c", CPU_TIME)) for _ in range(5)) < 0.3


def _run(*command: str, cwd: Path | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=_environment())
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return ended.stdout


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
