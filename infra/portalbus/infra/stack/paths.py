"""Where the local stack keeps its state and its downloads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from portalbus.infra.stack.errors import StackError

FORMAT = "1"
"""Version of the state folder's layout; another one is refused, never guessed at."""

UNUSABLE = ":,\\\n"


def default_home() -> Path:
    """Return the state folder: `$PORTALBUS_HOME`, or `.portalbus` in the current folder."""
    return Path(os.environ.get("PORTALBUS_HOME") or ".portalbus").expanduser().resolve()


def default_cache() -> Path:
    """Return the folder of downloads: `$PORTALBUS_CACHE`, or `~/.cache/portalbus`."""
    return Path(os.environ.get("PORTALBUS_CACHE") or "~/.cache/portalbus").expanduser().resolve()


def default_repository() -> str | None:
    """Return the Maven mirror of a closed network, from `$PORTALBUS_MAVEN_REPOSITORY`."""
    return os.environ.get("PORTALBUS_MAVEN_REPOSITORY") or None


@dataclass(frozen=True)
class StateFolder:
    """The files and folders of one stack; `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, home: Path) -> StateFolder:
        return cls(home.expanduser().resolve())

    @property
    def kafka_data(self) -> Path:
        return self.root / "kafka"

    @property
    def postgres_data(self) -> Path:
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pid files and generated configuration."""
        return self.root / "run"

    @property
    def scratch(self) -> Path:
        """What the JVMs would else put into the system's temporary folder; emptied by each start."""
        return self.root / "tmp"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def endpoints(self) -> Path:
        return self.root / "endpoints.json"

    @property
    def format_file(self) -> Path:
        return self.root / "format"

    def create(self) -> None:
        """Make the folders, or raise StackError when the state is of another format or cannot be written."""
        if set(str(self.root)) & set(UNUSABLE):
            raise StackError(
                f"the state folder {self.root} has one of {UNUSABLE!r} in its path, which Java would misread",
                "set PORTALBUS_HOME to a folder without them",
            )
        try:
            for folder in (self.root, self.logs, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            if not self.format_file.exists():
                self.format_file.write_text(FORMAT + "\n")
        except OSError as error:
            raise StackError(
                f"the state folder {self.root} cannot be written ({error.strerror})",
                "set PORTALBUS_HOME to a folder that this user may write to",
            ) from error
        self.check_format()

    def check_format(self) -> None:
        found = self.format_file.read_text().strip() if self.format_file.exists() else FORMAT
        if found != FORMAT:
            raise StackError(
                f"the state folder {self.root} was written by another version (format {found}, not {FORMAT})",
                "run that version, or set PORTALBUS_HOME to a new folder",
            )
