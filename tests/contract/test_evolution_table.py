"""The table of `evolving-a-contract.md` says what the check says, and what it offers instead of a change is allowed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from portalbus.schemas.compatibility import SchemaFolder, add_version, check, check_all, shipped

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "evolving-a-contract.md"
ROW = re.compile(
    r"^\| (?P<change>[^|]+) \| (?P<allowed>[^|]+) \| (?P<order>[^|]+) \| `(?P<command>[^|]+)` \|$", re.MULTILINE
)
YES, NO, UNSEEN, NEVER = "yes", "no", "no, though the check lets it pass", "never"
RECORD, RESOLVED = "FeedbackReceived", "FeedbackResolved"

Edit = Callable[[Any], object]


def field(schema: Any, name: str) -> Any:
    return next(item for item in schema["fields"] if item["name"] == name)


def symbols(schema: Any, name: str) -> Any:
    return field(schema, name)["type"]["symbols"]


def adding(name: str, kind: Any, **more: Any) -> Edit:
    return lambda schema: schema["fields"].append({"name": name, "type": kind, "doc": "District.", **more})


def removing(name: str) -> Edit:
    return lambda schema: schema["fields"].remove(field(schema, name))


def of(name: str, /, **changed: Any) -> Edit:
    return lambda schema: field(schema, name).update(**changed)


def nullable_or_not(schema: Any) -> None:
    field(schema, "subject").update(type=["null", "string"], default=None)
    field(schema, "area").update(type="string", default="")


OPTIONAL = adding("district", ["null", "string"], default=None)
WITH_DEFAULT = {"type": "enum", "name": "Ending", "doc": "How.", "symbols": ["SPLIT", "OTHER"], "default": "OTHER"}
OTHERWISE = of("content", doc="Text, redacted. Nobody reads it.")


@dataclass(frozen=True, slots=True)
class Trial:
    """A change of the table made to a record, and what the table offers instead."""

    edit: Edit
    instead: Edit | None = None
    record: str = RECORD


TRIALS = {
    "add a field with a default": Trial(OPTIONAL),
    "add a field without a default": Trial(adding("district", "string"), OPTIONAL),
    "remove a field that has a default": Trial(removing("area")),
    "remove a field without a default": Trial(removing("content"), OTHERWISE),
    "rename a field": Trial(of("content", name="text"), adding("text", ["null", "string"], default=None)),
    "rename a field that has a default": Trial(of("area", name="district"), OPTIONAL),
    "change a type": Trial(of("category", type="long"), adding("kind", "long", default=0)),
    "make a field nullable, or no longer nullable": Trial(nullable_or_not, OPTIONAL),
    "add a symbol to an enum that has a default": Trial(lambda schema: symbols(schema, "channel").append("FAX")),
    "add a symbol to an enum without a default": Trial(
        lambda schema: symbols(schema, "outcome").append("SPLIT"),
        adding("ending", WITH_DEFAULT, default="OTHER"),
        RESOLVED,
    ),
    "remove a symbol of an enum that has a default": Trial(lambda schema: symbols(schema, "channel").remove("POST")),
    "remove a symbol of an enum without a default": Trial(
        lambda schema: symbols(schema, "outcome").remove("DIVERTED"), record=RESOLVED
    ),
    "change a logical type": Trial(
        lambda schema: field(schema, "received_at")["type"].update(logicalType="timestamp-micros"),
        adding("taken_at", {"type": "long", "logicalType": "timestamp-micros"}, default=0),
    ),
    "change a `doc`": Trial(OTHERWISE),
    "rename a record": Trial(lambda schema: schema.update(name="FeedbackTaken")),
}
ROWS = {row["change"]: row for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
NEW, RELEASED = "a new record", "change a released version in the history"


@pytest.fixture
def folder(tmp_path: Path) -> SchemaFolder:
    """A copy of the shipped schemas that a test may spoil."""
    shutil.copytree(shipped().path, tmp_path / "avro")
    return SchemaFolder(tmp_path / "avro")


def write(folder: SchemaFolder, name: str, edit: Edit, as_name: str = "") -> None:
    schema = json.loads(folder.working(name))
    edit(schema)
    (folder.path / f"{as_name or name}.avsc").write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")


def test_every_row_of_the_table_is_tried() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index("| change | allowed | in which order, or what instead | command |")
    table = list(takewhile(lambda line: line.startswith("|"), lines[begin + 2 :]))
    assert len(ROWS) == len(table), "a row that cannot be read"
    assert set(ROWS) == {*TRIALS, NEW, RELEASED}
    assert {row["allowed"] for row in ROWS.values()} == {YES, NO, UNSEEN, NEVER}


@pytest.mark.parametrize("change", TRIALS)
def test_the_check_says_what_the_table_says(folder: SchemaFolder, change: str) -> None:
    trial, allowed = TRIALS[change], ROWS[change]["allowed"]
    write(folder, trial.record, trial.edit)
    found = check(trial.record, folder)
    assert bool(found) == (allowed == NO), [str(problem) for problem in found]
    if allowed == YES:
        newest, _ = folder.history(trial.record)[-1]
        assert add_version(trial.record, folder) == newest + 1
        assert check_all(folder) == []


@pytest.mark.parametrize("change", [change for change, trial in TRIALS.items() if trial.instead])
def test_what_the_table_offers_instead_is_allowed(folder: SchemaFolder, change: str) -> None:
    trial = TRIALS[change]
    assert trial.instead is not None
    write(folder, trial.record, trial.instead)
    assert check(trial.record, folder) == []


def test_a_field_is_neither_made_nullable_nor_the_contrary(folder: SchemaFolder) -> None:
    write(folder, RECORD, nullable_or_not)
    assert {problem.path for problem in check(RECORD, folder)} == {"/subject", "/area"}


def test_a_new_record_becomes_version_1(folder: SchemaFolder) -> None:
    assert ROWS[NEW]["allowed"] == YES
    write(folder, RECORD, lambda schema: schema.update(name="FeedbackRated"), as_name="FeedbackRated")
    assert check("FeedbackRated", folder) == []
    assert add_version("FeedbackRated", folder) == 1


def test_a_released_version_never_changes(folder: SchemaFolder) -> None:
    assert ROWS[RELEASED]["allowed"] == NEVER
    file = folder.path / "history" / RECORD / "1.avsc"
    file.write_text(file.read_text(encoding="utf-8").replace("Text", "Words", 1), encoding="utf-8")
    assert any("version 1 was changed after it was committed" in problem.reason for problem in check_all(folder))
