"""Are the contracts in order? The working schemas against their committed history, and against our policy.

`avro/NAME.avsc` is what people edit; `avro/history/NAME/N.avsc` is what was published and never changes again.
A change becomes a contract when `add_version` commits it as the next version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from portalbus.schemas import avro_files
from portalbus.schemas.breaking_changes import breaking_changes, parse_problem
from portalbus.schemas.errors import ContractBroken
from portalbus.schemas.schema_policy import Problem, envelope_problems, policy_problems

DIGESTS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class SchemaFolder:
    """A folder with working schemas, `history/` below it, and the digests of the history."""

    path: Path

    def working(self, name: str) -> str:
        """Text of the working schema. Raises FileNotFoundError."""
        return (self.path / f"{name}.avsc").read_text(encoding="utf-8")

    def history(self, name: str) -> list[tuple[int, str]]:
        """Number and text of each committed version, oldest first."""
        files = (self.path / "history" / name).glob("*.avsc")
        return sorted((int(file.stem), file.read_text(encoding="utf-8")) for file in files if file.stem.isdigit())

    def digests(self) -> dict[str, str]:
        """SHA-256 by file (`NAME/N.avsc`), as `sha256sum` writes them."""
        file = self.path / "history" / DIGESTS
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def shipped() -> SchemaFolder:
    """The schemas of this package."""
    return SchemaFolder(Path(str(files("portalbus.schemas").joinpath("avro"))))


def check_all(folder: SchemaFolder | None = None) -> list[Problem]:
    """Everything that is wrong with the contracts; empty when they are in order.

    Raises ImportError, saying what to install, where Apache's `avro` package is missing.
    """
    folder = folder or shipped()
    found = [*_strays(folder), *_history_problems(folder)]
    for name in avro_files.ALL_TYPES:
        problems = check(name, folder)
        found += problems or _uncommitted(name, folder)
    return [*found, *envelope_problems(dict(_readable(folder)))]


def check(name: str, folder: SchemaFolder | None = None) -> list[Problem]:
    """What is wrong with one working schema: by itself, by our policy, and for those who use an earlier version."""
    folder = folder or shipped()
    try:
        schema = json.loads(folder.working(name))
    except (OSError, ValueError) as error:
        return [Problem(name, "", f"{name}.avsc cannot be read: {error}")]
    found = list(policy_problems(name, schema))
    invalid = parse_problem(name, schema)
    if invalid is not None:
        return [*found, invalid]
    for version, text in folder.history(name):
        found += breaking_changes(name, version, json.loads(text), schema)
    return found


def add_version(name: str, folder: SchemaFolder | None = None) -> int | None:
    """Commits the working schema as the next version of the history; returns its number, None when nothing changed.

    Raises ContractBroken, naming field and reason, when it would break a reader or writer of any version.
    """
    folder = folder or shipped()
    problems = [
        *check(name, folder),
        *_history_problems(folder),
        *(problem for problem in envelope_problems(dict(_readable(folder))) if problem.record == name),
    ]
    if problems:
        raise ContractBroken(problems)
    text = folder.working(name)
    versions = folder.history(name)
    if versions and versions[-1][1] == text:
        return None
    version = versions[-1][0] + 1 if versions else 1
    place = folder.path / "history" / name / f"{version}.avsc"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    with (folder.path / "history" / DIGESTS).open("a", encoding="utf-8") as file:
        file.write(f"{_digest(text)}  {name}/{version}.avsc\n")
    avro_files.history.cache_clear()
    avro_files.current.cache_clear()
    avro_files.parsed.cache_clear()
    return version


def _uncommitted(name: str, folder: SchemaFolder) -> list[Problem]:
    versions = folder.history(name)
    if versions and versions[-1][1] == folder.working(name):
        return []
    return [Problem(name, "", f"{name}.avsc is not committed: run `portalbus schemas commit {name}`")]


def _strays(folder: SchemaFolder) -> Iterator[Problem]:
    """Schemas that nothing names: a typo in a file name would otherwise be a contract that is never checked."""
    known = {f"{name}.avsc" for name in avro_files.ALL_TYPES} | {"history"}
    for entry in sorted(folder.path.iterdir()):
        if entry.name not in known:
            yield Problem(entry.stem, "", f"{entry.name} is not a contract of ours (see avro_files.ALL_TYPES)")
    for entry in sorted((folder.path / "history").iterdir()):
        if entry.name not in (*avro_files.ALL_TYPES, DIGESTS):
            yield Problem(entry.name, "", f"history/{entry.name} belongs to no contract")


def _history_problems(folder: SchemaFolder) -> Iterator[Problem]:
    """History that was changed, lost, or added past `add_version`."""
    digests = folder.digests()
    for name in avro_files.ALL_TYPES:
        versions = folder.history(name)
        if [version for version, _ in versions] != list(range(1, len(versions) + 1)):
            yield Problem(name, "", "the versions in history are not 1, 2, 3 … without a gap")
        for version, text in versions:
            expected = digests.pop(f"{name}/{version}.avsc", None)
            if expected is None:
                yield Problem(name, "", f"version {version} is not in {DIGESTS}: it was not added by `add_version`")
            elif expected != _digest(text):
                yield Problem(name, "", f"version {version} was changed after it was committed; restore the file")
    for file in sorted(digests):
        yield Problem(file.split("/")[0], "", f"{file} is in {DIGESTS} but gone from history; restore the file")


def _readable(folder: SchemaFolder) -> Iterator[tuple[str, Any]]:
    for name in avro_files.PAYLOAD_TYPES:
        try:
            yield name, json.loads(folder.working(name))
        except (OSError, ValueError):
            continue  # check() names it


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
