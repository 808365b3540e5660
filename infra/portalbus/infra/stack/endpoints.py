"""The three addresses that everything else needs to know about a running stack."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Endpoints:
    """Addresses of a running stack.

    `bootstrap` is Kafka's `host:port`, `registry_url` the base URL of a Confluent-compatible registry,
    `database_url` a PostgreSQL URI with its password: do not log it.
    """

    bootstrap: str
    registry_url: str
    database_url: str

    def write(self, path: Path) -> None:
        """Write them as JSON, readable by the owner alone, in one step."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read them back; FileNotFoundError when no stack is up."""
        return cls(**json.loads(path.read_text()))

    def __repr__(self) -> str:
        database = self.database_url.rpartition("@")[2]  # without the password
        return f"Endpoints({self.bootstrap!r}, {self.registry_url!r}, database={database!r})"


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
