"""The lock file of the Java parts, and the check that every file is the one it names.

A line of `jars.lock` is `APP KIND NAME SIZE SHA256`: KIND is `jar` or `archive` (NAME is a Maven coordinate,
`group:artifact:version[:classifier:packaging]`) or `member` (NAME is a path inside the unpacked archive).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, cast

from portalbus.infra.stack.errors import StackError

App = Literal["kafka", "registry"]
Kind = Literal["jar", "archive", "member"]


@dataclass(frozen=True)
class LockedFile:
    """One file of an app: where it comes from, how long it is (bytes), and its SHA-256 in hex."""

    app: App
    kind: Kind
    name: str
    size: int
    sha256: str

    @classmethod
    def parse(cls, line: str) -> LockedFile:
        app, kind, name, size, sha256 = line.split()
        return cls(cast(App, app), cast(Kind, kind), name, int(size), sha256)

    def __str__(self) -> str:
        return f"{self.app} {self.kind} {self.name} {self.size} {self.sha256}"

    @property
    def relative_path(self) -> Path:
        """Where the file lies in the folder of downloads."""
        if self.kind == "member":
            return Path(self.app, self.name)
        _, artifact, version, classifier, packaging = self.coordinate
        suffix = f"-{classifier}" if classifier else ""
        return Path(self.app, f"{artifact}-{version}{suffix}.{packaging}")

    @property
    def coordinate(self) -> tuple[str, str, str, str, str]:
        """Group, artifact, version, classifier (or empty) and packaging."""
        group, artifact, version, *rest = self.name.split(":")
        classifier, packaging = rest if rest else ("", "jar")
        return group, artifact, version, classifier, packaging


@dataclass(frozen=True)
class Lock:
    """All files of the Java parts."""

    entries: tuple[LockedFile, ...]

    @classmethod
    def parse(cls, text: str) -> Lock:
        lines = (line.strip() for line in text.splitlines())
        return cls(tuple(LockedFile.parse(line) for line in lines if line and not line.startswith("#")))

    @classmethod
    def shipped(cls) -> Lock:
        """Read the lock that is part of this package."""
        return cls.parse(files("portalbus.infra.stack").joinpath("jars.lock").read_text())

    @cached_property
    def digest(self) -> str:
        """A short name for this exact set of files; the folder of downloads is named by it."""
        return hashlib.sha256("\n".join(map(str, self.entries)).encode()).hexdigest()[:16]

    def downloads(self, app: App) -> Iterator[LockedFile]:
        """Yield what is fetched for an app."""
        return (entry for entry in self.entries if entry.app == app and entry.kind != "member")

    def installed(self, app: App) -> Iterator[LockedFile]:
        """Yield what an app runs from: jars, and members of archives."""
        return (entry for entry in self.entries if entry.app == app and entry.kind != "archive")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(entry: LockedFile, path: Path) -> bool:
    """Tell whether a file is there with the locked length; its content is another question."""
    return path.is_file() and path.stat().st_size == entry.size


def refuse_unless_locked(entry: LockedFile, path: Path) -> None:
    """Raise StackError unless `path` is exactly the locked file."""
    found = sha256_of(path)
    if found != entry.sha256:
        raise StackError(
            f"{path} is not the file that was locked (SHA-256 {found[:16]}…, not {entry.sha256[:16]}…)",
            "delete it and start again; if it happens twice, do not trust where it comes from",
        )


def verify(lock: Lock, app: App, folder: Path, check: Callable[[], None] = lambda: None) -> list[Path]:
    """Check every file of an app in `folder` and return their paths, in the lock's order.

    Raises StackError at the first file that is missing or another. No JVM is started before this has passed.
    """
    paths = []
    for entry in lock.installed(app):
        check()
        path = folder / entry.relative_path
        if not path.is_file():
            raise StackError(f"{path} is missing", "start again to fetch it")
        refuse_unless_locked(entry, path)
        paths.append(path)
    return paths
