"""A published schema never changes, and a new one breaks nobody: neither readers nor writers of any version."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portalbus.schemas import avro_files
from portalbus.schemas.compatibility import DIGESTS, SchemaFolder, add_version, check, check_all, shipped
from portalbus.schemas.errors import ContractBroken

RECORD = "FeedbackReceived"


@pytest.fixture
def folder(tmp_path: Path) -> SchemaFolder:
    """A copy of the shipped schemas that a test may spoil, in which the record has its first version alone."""
    copy = tmp_path / "avro"
    shutil.copytree(shipped().path, copy)
    kept = copy / "history" / RECORD
    for later in kept.iterdir():
        if later.name != "1.avsc":
            later.unlink()
    shutil.copy(kept / "1.avsc", copy / f"{RECORD}.avsc")
    sums = copy / "history" / DIGESTS
    lines = sums.read_text(encoding="utf-8").splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if f"{RECORD}/" not in line or "/1." in line), encoding="utf-8")
    return SchemaFolder(copy)


def change(folder: SchemaFolder, name: str, edit: Callable[[Any], None]) -> None:
    """Edits a working schema."""
    schema = json.loads(folder.working(name))
    edit(schema)
    (folder.path / f"{name}.avsc").write_text(json.dumps(schema, ensure_ascii=False, indent=2), encoding="utf-8")


def field(schema: Any, name: str) -> Any:
    return next(item for item in schema["fields"] if item["name"] == name)


def reasons(folder: SchemaFolder, name: str = RECORD) -> dict[str, str]:
    """What check() says, by path."""
    return {problem.path: problem.reason for problem in check(name, folder)}


def test_the_contracts_are_in_order() -> None:
    assert check_all() == []


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_the_working_schema_is_the_last_version_of_the_history(name: str) -> None:
    assert avro_files.working_text(name) == avro_files.current(name).text


def test_the_check_leaves_the_working_schemas_alone(folder: SchemaFolder) -> None:
    before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}
    check_all(folder)
    assert before == {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}


def test_removing_a_field_names_the_field_and_says_who_needs_it(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: schema["fields"].remove(field(schema, "content")))
    assert reasons(folder) == {
        "/content": "the field was removed, but version 1 has no default for it and its readers need it"
    }


def test_changing_a_type_names_the_field_and_both_types(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "category").update(type="string"))
    found = check(RECORD, folder)
    assert {problem.path for problem in found} == {"/category"}
    assert any("its type changed" in problem.reason and "string" in problem.reason for problem in found)
    assert len(found) == 2  # neither direction works


def test_a_wider_number_is_a_break_for_those_who_read_the_old_version(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "category").update(type="long"))
    assert reasons(folder) == {
        "/category": "its type changed, readers of version 1 cannot read it: "
        "reader type: int not compatible with writer type: long"
    }


def test_a_new_field_needs_a_default(folder: SchemaFolder) -> None:
    new = {"name": "district", "type": "string", "doc": "District."}
    change(folder, RECORD, lambda schema: schema["fields"].append(new))
    assert reasons(folder) == {"/district": "a new field needs a default, or records of version 1 cannot be read"}


def test_removing_an_enum_symbol_names_the_symbol(folder: SchemaFolder) -> None:
    name = "FeedbackResolved"
    change(folder, name, lambda schema: field(schema, "outcome")["type"]["symbols"].remove("DIVERTED"))
    assert reasons(folder, name) == {"/outcome": "an enum symbol of version 1 was removed: {'DIVERTED'}"}


def test_removing_a_symbol_of_a_nullable_enum_names_the_symbol(folder: SchemaFolder) -> None:
    name = "FeedbackResolved"
    change(folder, name, lambda schema: field(schema, "reason_code")["type"][1].pop("default"))
    (folder.path / "history" / name / "1.avsc").write_text(folder.working(name), encoding="utf-8")
    change(folder, name, lambda schema: field(schema, "reason_code")["type"][1]["symbols"].remove("LEGAL_QA"))
    assert reasons(folder, name) == {"/reason_code": "an enum symbol of version 1 was removed: {'LEGAL_QA'}"}


def test_an_enum_with_a_default_may_grow(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "channel")["type"]["symbols"].append("FAX"))
    assert check(RECORD, folder) == []


def test_adding_an_enum_symbol_breaks_old_readers_where_the_enum_has_no_default(folder: SchemaFolder) -> None:
    name = "FeedbackResolved"
    change(folder, name, lambda schema: field(schema, "outcome")["type"]["symbols"].append("SPLIT"))
    assert reasons(folder, name) == {
        "/outcome": "an enum symbol was added that readers of version 1 do not know: {'SPLIT'}"
    }


def test_making_a_field_nullable_breaks_old_readers(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "subject").update(type=["null", "string"], default=None))
    assert list(reasons(folder)) == ["/subject"]


def test_making_a_field_mandatory_breaks_old_writers(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "area").update(type="string", default=""))
    assert list(reasons(folder)) == ["/area"]


def test_two_breaks_are_told_apart(folder: SchemaFolder) -> None:
    def edit(schema: Any) -> None:
        schema["fields"].remove(field(schema, "content"))
        field(schema, "language")["type"] = "int"
        schema["fields"].append({"name": "district", "type": "string", "doc": "District."})

    change(folder, RECORD, edit)
    found = reasons(folder)
    assert set(found) == {"/content", "/language", "/district"}
    assert "removed" in found["/content"]
    assert "type changed" in found["/language"]
    assert "needs a default" in found["/district"]


def test_a_break_inside_a_nested_record_names_the_inner_field(folder: SchemaFolder) -> None:
    def edit(schema: Any) -> None:
        attachment = field(schema, "attachments")["type"]["items"]
        attachment["fields"] = [item for item in attachment["fields"] if item["name"] != "sha256"]

    change(folder, "DirectivePublished", edit)
    assert list(reasons(folder, "DirectivePublished")) == ["/attachments/sha256"]


def test_a_changed_logical_type_is_a_break_though_the_bytes_are_the_same(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "received_at")["type"].update(logicalType="timestamp-micros"))
    assert "logical type changed" in reasons(folder)["/received_at"]


def test_renaming_the_record_is_a_break(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: schema.update(name="FeedbackTaken"))
    assert "renamed since version 1" in " ".join(problem.reason for problem in check(RECORD, folder))


def test_a_new_optional_field_and_a_new_doc_break_nobody(folder: SchemaFolder) -> None:
    def edit(schema: Any) -> None:
        schema["fields"].append({"name": "district", "type": ["null", "string"], "doc": "District.", "default": None})
        field(schema, "content")["doc"] = "Text, redacted."

    change(folder, RECORD, edit)
    assert check(RECORD, folder) == []


def test_a_good_change_becomes_the_next_version(folder: SchemaFolder) -> None:
    new = {"name": "district", "type": ["null", "string"], "doc": "District.", "default": None}
    change(folder, RECORD, lambda schema: schema["fields"].append(new))
    assert [str(problem) for problem in check_all(folder)] == [
        "FeedbackReceived: FeedbackReceived.avsc is not committed: run `portalbus schemas commit FeedbackReceived`"
    ]
    assert add_version(RECORD, folder) == 2
    assert check_all(folder) == []
    assert add_version(RECORD, folder) is None
    assert [version for version, _ in folder.history(RECORD)] == [1, 2]


def test_a_change_is_checked_against_every_version_not_only_the_last(folder: SchemaFolder) -> None:
    new = {"name": "district", "type": ["null", "string"], "doc": "District.", "default": None}
    change(folder, RECORD, lambda schema: schema["fields"].append(new))
    add_version(RECORD, folder)
    # Compatible with version 2, which has the field, but not with version 1, which has not.
    change(folder, RECORD, lambda schema: field(schema, "district").pop("default"))
    assert "records of version 1" in reasons(folder)["/district"]


def test_a_breaking_change_is_not_committed(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: schema["fields"].remove(field(schema, "content")))
    with pytest.raises(ContractBroken, match="/content: the field was removed") as refused:
        add_version(RECORD, folder)
    assert [problem.path for problem in refused.value.problems] == ["/content"]
    assert [version for version, _ in folder.history(RECORD)] == [1]


@pytest.mark.parametrize("name", avro_files.ALL_TYPES)
def test_a_changed_version_in_the_history_is_noticed(folder: SchemaFolder, name: str) -> None:
    file = folder.path / "history" / name / "1.avsc"
    file.write_text(file.read_text(encoding="utf-8").replace('"doc"', '"doc" ', 1), encoding="utf-8")
    assert any("version 1 was changed after it was committed" in problem.reason for problem in check_all(folder))


def test_a_lost_version_is_noticed(folder: SchemaFolder) -> None:
    (folder.path / "history" / RECORD / "1.avsc").unlink()
    assert any("gone from history" in problem.reason for problem in check_all(folder))


def test_a_version_added_by_hand_is_noticed(folder: SchemaFolder) -> None:
    history = folder.path / "history" / RECORD
    shutil.copy(history / "1.avsc", history / "3.avsc")
    found = " ".join(problem.reason for problem in check_all(folder))
    assert "without a gap" in found and f"version 3 is not in {DIGESTS}" in found


def test_a_schema_that_no_contract_names_is_noticed(folder: SchemaFolder) -> None:
    (folder.path / "FeedbackReceved.avsc").write_text("{}", encoding="utf-8")
    (folder.path / "history" / "Old").mkdir()
    assert {problem.record for problem in check_all(folder)} == {"FeedbackReceved", "Old"}


def test_a_working_schema_that_is_no_json_is_named(folder: SchemaFolder) -> None:
    (folder.path / f"{RECORD}.avsc").write_text("{", encoding="utf-8")
    assert any("FeedbackReceived.avsc cannot be read" in str(problem) for problem in check_all(folder))


def test_a_working_schema_that_is_no_avro_is_named(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: field(schema, "area").update(default=7))
    assert any("not a valid Avro schema" in str(problem) for problem in check_all(folder))


def test_the_envelope_is_first_and_the_same_everywhere(folder: SchemaFolder) -> None:
    change(folder, RECORD, lambda schema: schema["fields"].append(schema["fields"].pop(0)))
    change(folder, "FeedbackResolved", lambda schema: schema["fields"][0].update(doc="Other."))
    found = [str(problem) for problem in check_all(folder)]
    assert any(text.startswith("FeedbackReceived: the envelope must be the first field") for text in found)
    assert "FeedbackResolved/envelope: differs from the envelope of DirectivePublished" in found


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda schema: field(schema, "subject").update(doc=" "), "the field has no doc"),
        (lambda schema: field(schema, "channel")["type"].pop("doc"), "the enum Channel has no doc"),
        (lambda schema: schema.pop("doc"), "the record FeedbackReceived has no doc"),
        (lambda schema: field(schema, "channel")["type"]["symbols"].append("Fax"), "UPPER_SNAKE_CASE"),
        (lambda schema: field(schema, "channel")["type"].update(default="FAX"), "none of its symbols"),
        (lambda schema: field(schema, "subject").update(aliases=["title"]), "aliases are not used"),
        (lambda schema: field(schema, "subject").update(name="theSubject"), "lower_snake_case"),
        (lambda schema: schema.update(namespace="elsewhere"), "must be named portalbus.events.FeedbackReceived"),
        (lambda schema: field(schema, "subject").update(type="null"), "null outside a union"),
        (lambda schema: field(schema, "subject").update(type=["null", "FeedbackReceived"]), "contains itself"),
    ],
)
def test_policy_is_held(folder: SchemaFolder, edit: Callable[[Any], None], reason: str) -> None:
    change(folder, RECORD, edit)
    assert any(reason in problem.reason for problem in check(RECORD, folder))


def test_a_missing_avro_package_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("avro", "avro.errors", "avro.schema", "avro.compatibility"):
        monkeypatch.setitem(sys.modules, module, None)  # what Python itself takes for "cannot be imported"
    with pytest.raises(ImportError, match="pip install"):
        check_all()
