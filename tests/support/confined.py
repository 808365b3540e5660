"""A container without an engine: a process in a root of its own that nobody can write to, as the image's user.

A mount namespace has the system's programs, the image's environment and the declared places, and nothing else; all but
the declared places is read-only. The process is the user and group of the deployment file, has no capability and no
HOME, and /tmp runs no programs, as with the usual options of an engine. The network is the machine's.

An ordinary user does the same in a user namespace, where the machine allows it; volumes are his own then.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deployed import Deployed

CONTAINERFILE = (Path(__file__).parents[2] / "infra" / "images" / "Containerfile").read_text(encoding="utf-8")
IMAGE, HOME = "/opt/portalbus", "/var/lib/portalbus"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = ("hosts", "ld.so.cache", "nsswitch.conf", "resolv.conf")
Contents = Callable[[str], Mapping[str, str]]
"""The files of what a deployment mounts to be read, by its source."""
IS_ROOT = os.geteuid() == 0
DEVICES = ("null", "zero", "full", "random", "urandom")


def why_not() -> str:
    """Why nothing can be confined here; empty when it can."""
    for program in ("unshare", "setpriv", "mount", "chroot"):
        if _program(program) is None:
            return f"{program} is not installed"
    trying = [*_namespaces(1, 1), "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(trying, capture_output=True, text=True, check=False)
    return f"no mounts in a namespace of one's own: {tried.stderr.strip()}" if tried.returncode else ""


def _namespaces(user: int, group: int) -> list[str]:
    mine = [] if IS_ROOT else ["--user", f"--map-user={user}", f"--map-group={group}", "--keep-caps"]
    return ["unshare", *mine, "--mount", "--propagation", "private"]


def _program(name: str) -> str | None:
    """An ordinary user's path need not have all of the system's programs."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Container:
    """One declared container over the image's environment; its volumes lie in `folder` and outlive its processes."""

    def __init__(self, deployed: Deployed, image: Path, folder: Path, contents: Contents) -> None:
        self.deployed = deployed
        self.volumes = {place: folder / f"{deployed.name}{place.replace('/', '-')}" for place in deployed.volumes}
        for volume in self.volumes.values():
            volume.mkdir(0o755)
            if IS_ROOT:
                os.chown(volume, 0 if deployed.by_group else deployed.user, deployed.group)
                volume.chmod(0o2775 if deployed.by_group else 0o755)
        self._root = folder / f"{deployed.name}-root"
        self._root.mkdir()
        self._script = folder / f"{deployed.name}.sh"
        self._script.write_text(
            "\n".join(_mounts(deployed, self.volumes, image, self._root, contents)), encoding="utf-8"
        )

    def argv(self, *command: str) -> list[str]:
        """How Python is run in it with these words."""
        within = _namespaces(self.deployed.user, self.deployed.group)
        return [*within, "sh", str(self._script), "python", *command]

    def run(self, *command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Runs Python in it to its end."""
        return subprocess.run(
            self.argv(*command), env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def environment(self) -> dict[str, str]:
        """The environment that the image and the deployment file give, and nothing of this machine's."""
        told = dict(re.findall(r"(PYTHON\w+|PORTALBUS_\w+)=(\S+)", CONTAINERFILE.rpartition("FROM")[2]))
        path = f"{IMAGE}/bin:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, **told, **self.deployed.environment}


def _mounts(deployed: Deployed, volumes: Mapping[str, Path], image: Path, root: Path, contents: Contents) -> list[str]:
    """The script that makes the root, goes into it as the user and becomes the command."""
    at = shlex.quote(str(root))
    lines = ["set -eu", f"mount -t tmpfs -o mode=755 root {at}"]
    system = [Path(place) for place in SYSTEM if Path(place).exists()]
    lines += [f"cp -P {place} {at}{place}" for place in system if place.is_symlink()]
    read = {str(place): place for place in system if not place.is_symlink()}
    read[IMAGE] = image
    interpreter = Path(os.path.realpath(sys.base_prefix))
    if not any(interpreter.is_relative_to(place) for place in read.values()):
        read[str(interpreter)] = interpreter
    lines += [line for place, source in read.items() for line in _bound(root, place, source, "ro")]
    lines += [f"mkdir -p {at}/etc {at}/dev {at}/proc"]
    lines += [f"cp -L /etc/{name} {at}/etc/" for name in ETC if Path("/etc", name).exists()]
    owned = "chown" if IS_ROOT else ": chown"
    for name in DEVICES:
        lines += [f": > {at}/dev/{name}", f"mount --bind /dev/{name} {at}/dev/{name}"]
    lines += [f"mount --rbind /proc {at}/proc"]
    lines += [f"mkdir -p {at}{HOME}", f"{owned} {deployed.user}:{deployed.group} {at}{HOME}"]
    for place, size in deployed.memory.items():
        lines += [f"mkdir -p {at}{place}"]
        lines += [f"mount -t tmpfs -o mode=1777,noexec,nosuid,nodev,size={size.removesuffix('i')} tmp {at}{place}"]
    lines += [line for place, source in volumes.items() for line in _bound(root, place, source, "rw")]
    for place, mounted in deployed.files.items():
        for name, text in contents(mounted.source).items():
            file = place if Path(place).suffix else f"{place}/{name}"
            lines += [f"mkdir -p {at}{Path(file).parent}", f"printf %s {shlex.quote(text)} > {at}{file}"]
            lines += [f"{owned} 0:{deployed.group} {at}{file}", f"chmod {mounted.mode:o} {at}{file}"]
    lines += [f"mount -o remount,bind,ro {at}"]
    chroot = _program("chroot")
    user = f"--reuid {deployed.user} --regid {deployed.group} --clear-groups" if IS_ROOT else ""
    lines += [f"exec {chroot} {at} /usr/bin/setpriv {user} --no-new-privs --bounding-set=-all --inh-caps=-all \\"]
    return [*lines, f'  /bin/sh -c \'cd {HOME} && exec "$@"\' confined "$@"', ""]


def _bound(root: Path, place: str, source: Path, mode: str) -> list[str]:
    target, origin = shlex.quote(f"{root}{place}"), shlex.quote(str(source))
    bound = [f"mkdir -p {target}", f"mount --rbind {origin} {target}"]
    return [*bound, f"mount -o remount,bind,{mode} {target}"]
