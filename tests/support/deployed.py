"""What the deployment files say of each process: its command line, its environment and where it may write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"


@dataclass(frozen=True)
class Mounted:
    """What is mounted to be read: a file beside the compose file, or a secret; and the mode of what is in it."""

    source: str
    mode: int = 0o644


@dataclass(frozen=True)
class Deployed:
    """One container, as its file declares it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: int
    group: int
    memory: Mapping[str, str] = field(default_factory=dict)
    """Folders in memory, with their size: empty at the start, everybody writes."""
    volumes: Sequence[str] = ()
    """Folders on a disk that outlive the container."""
    files: Mapping[str, Mounted] = field(default_factory=dict)
    """What is mounted to be read, by its place in the container."""
    by_group: bool = False
    """A volume belongs to root and to the pod's group, as on Kubernetes, and not to the image's user."""


def compose() -> list[Deployed]:
    """Every container of ours in the compose file."""
    services = yaml.safe_load((INFRA / "compose" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return [_service(name, one) for name, one in services.items() if one["image"].startswith("portalbus:")]


def kubernetes() -> list[Deployed]:
    """Every pod of ours: the job that prepares, then the deployments."""
    found: list[Any] = []
    for name in ("17-prepare.yaml", "20-bus.yaml", "25-alerting.yaml"):
        found += [one for one in yaml.safe_load_all((INFRA / "kubernetes" / name).read_text(encoding="utf-8")) if one]
    settings = next(one["data"] for one in found if one["kind"] == "ConfigMap")
    return [_pod(one, settings) for one in found if one["kind"] in ("Job", "Deployment")]


def systemd() -> list[Deployed]:
    """Every unit, as its user on a machine of which `ProtectSystem=strict` leaves it the state folder and `/tmp`."""
    told = (INFRA / "systemd" / "portalbus.env.example").read_text(encoding="utf-8")
    environment = dict(re.findall(r"^(\w+)=(.*)$", told, re.MULTILINE))
    return [_unit(path, environment) for path in sorted((INFRA / "systemd").glob("*.service"))]


def _unit(path: Path, environment: Mapping[str, str]) -> Deployed:
    text = path.read_text(encoding="utf-8").replace("%i", "1")
    said = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
    assert (said["ProtectSystem"], said["PrivateTmp"], said["UMask"]) == ("strict", "yes", "0077"), path
    state = f"/var/lib/{said['StateDirectory']}"
    command = said["ExecStart"].partition(" -m ")[2].replace("${STATE_DIRECTORY}", state)
    own = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
    return Deployed(
        path.stem.removeprefix("portalbus-").rstrip("@"),
        tuple(shlex.split(command)),
        {**environment, **own, "STATE_DIRECTORY": state},
        10001,
        10001,
        {"/tmp": "64m"},
        [state],
        {word: Mounted("alerting") for word in command.split() if word.startswith("/etc/")},
    )


def _service(name: str, one: Mapping[str, Any]) -> Deployed:
    assert one["read_only"], name
    user, _, group = one["user"].partition(":")
    mounts = [mount.split(":") for mount in one.get("volumes", ())]
    return Deployed(
        name,
        tuple(one["command"]),
        {key: _filled_in(value) for key, value in one["environment"].items()},
        int(user),
        int(group),
        {place: options.removeprefix("size=") for place, _, options in (one.partition(":") for one in one["tmpfs"])},
        [place for source, place, *options in mounts if options != ["ro"] and not source.startswith(".")],
        {place: Mounted(source) for source, place, *options in mounts if options == ["ro"]},
    )


def _filled_in(value: str) -> str:
    """What compose makes of `${NAME:-usual}` where nobody has set the name."""
    return re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda found: found[2] if found[1] == "-" else "secret", value)


def _pod(one: Mapping[str, Any], settings: Mapping[str, str]) -> Deployed:
    pod = one["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"], container["name"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    environment = {each["name"]: each.get("value", "secret") for each in container.get("env", ())}
    if "envFrom" in container:
        environment = {**settings, **environment}
    return Deployed(
        container["name"],
        tuple(container["args"]),
        environment,
        pod["securityContext"]["runAsUser"],
        pod["securityContext"]["runAsGroup"],
        {place: volume["emptyDir"]["sizeLimit"] for place, volume in mounts.items() if "emptyDir" in volume},
        [place for place, volume in mounts.items() if "persistentVolumeClaim" in volume],
        {
            place: Mounted(volume["secret"]["secretName"], volume["secret"].get("defaultMode", 0o644))
            for place, volume in mounts.items()
            if "secret" in volume
        },
        by_group="fsGroup" in pod["securityContext"],
    )
