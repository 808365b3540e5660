"""What the written pages show is true: every block is run or checked, every command exists, every link leads on."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import textwrap
import tomllib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from doc_pages import ROOT, Block, blocks, commands, json_in, links, pages, parsed, spans
from portalbus.infra.cli.app import app
from portalbus.producers import Portal
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.directory import directory
from portalbus.schemas.facts import Facts
from portalbus.schemas.models import PAYLOADS, Envelope, Event
from portalbus.schemas.rules import findings

CLI = typer.main.get_command(app)

BUS = "tests/e2e/test_howto_bus.py"
RUN = [
    ("README.md", "tests/chaos/test_from_nothing.py", {"sh"}),
    ("README.md", "tests/unit/test_docs_blocks.py", {"python"}),
    ("docs/howto/portal-developer.md", "tests/e2e/test_howto.py", {"python", "sh", "output"}),
    ("docs/howto/conformance.md", "tests/e2e/test_howto_conformance.py", {"sh", "output", "toml"}),
    ("docs/howto/evolving-a-contract.md", "tests/e2e/test_howto_contracts.py", {"sh", "output"}),
    ("docs/howto/portal-with-a-database.md", "tests/integration/test_intents_at_work.py", {"python", "sh", "output"}),
    ("docs/howto/receiving.md", "tests/unit/test_webhook_signing.py", {"python", "php", "js"}),
    ("docs/howto/receiving.md", BUS, {"sh"}),
    ("docs/howto/testing-a-portal.md", "tests/unit/test_testing_kit.py", {"python"}),
    ("docs/howto/testing-a-portal.md", BUS, {"sh"}),
    ("docs/howto/pull-connectors.md", "tests/unit/test_pull_config.py", {"yaml"}),
    ("docs/howto/pull-connectors.md", BUS, {"sh"}),
    ("docs/howto/pull-connectors.md", "tests/integration/test_pull_sql_view.py", {"sql"}),
    ("docs/howto/operations.md", BUS, {"sh", "output", "toml"}),
    ("docs/howto/operations.md", "tests/integration/test_worker.py", {"psql"}),
    ("docs/howto/operations.md", "tests/integration/test_backup.py", {"portalbus restore"}),
    ("docs/howto/operations.md", "tests/unit/test_deployments.py", {"systemctl"}),
    (
        "docs/howto/upgrading.md",
        BUS,
        {"portalbus doctor", "portalbus schemas", "portalbus migrations up", "portalbus verdicts"},
    ),
    ("docs/howto/upgrading.md", "tests/integration/test_backup.py", {"portalbus backup", "portalbus restore"}),
    ("docs/howto/office.md", BUS, {"sh"}),
    ("docs/howto/early-warning.md", BUS, {"sh"}),
    ("docs/howto/legal-clock.md", BUS, {"sh", "toml"}),
    ("docs/howto/gateway.md", BUS, {"sh"}),
]
"""Page, the test that runs all its blocks of some kinds or with some beginning, and these kinds and beginnings."""

SHOWN = {"json", "text", ""}
"""What a program says, or a picture: read here, and run by nobody."""

NOT_RUN = {
    ("docs/howto/capacity.md", "make bench"): "takes 20 minutes and 12 GB; whoever measures a machine runs it",
    ("docs/howto/operations.md", "cd infra/compose"): (
        "its last two lines need a container engine; test_deployments.py runs the others, test_image.py the processes"
    ),
    (
        "docs/howto/operations.md",
        "docker compose run",
    ): "needs a container engine; integration/test_handing_on.py runs the command",
}
"""What is not run, by page and kind or beginning of the block, and why."""

PROGRAMS = {
    "cat", "cd", "cp", "curl", "docker", "echo", "eval", "export", "git", "grep", "kubectl", "ls", "make", "pip",
    "psql", "python", "sh", "systemctl", "systemd-run",
}  # fmt: skip
"""What a shell block may call beside `portalbus`; what needs a machine of the reader's own is not run."""

SHELL = [block for block in blocks() if block.kind in ("sh", "console", "text", "")]


def of(*kinds: str) -> list[Any]:
    return [pytest.param(block, id=block.where) for block in blocks() if block.kind in kinds]


def is_run(block: Block) -> bool:
    return any(block.page == page and named(block, kinds) for page, _, kinds in RUN)


def named(block: Block, kinds: Iterable[str]) -> list[str]:
    """Those of the kinds and beginnings that are the block's."""
    return [one for one in kinds if one == block.kind or block.text.split()[: len(one.split())] == one.split()]


def not_run(block: Block) -> list[tuple[str, str]]:
    """Where a block is listed as one that is not run."""
    listed = [what for page, what in NOT_RUN if block.page == page]
    return [(block.page, what) for what in listed if block.kind == what or block.text.startswith(what)]


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in blocks()])
def test_every_block_is_run_or_the_reason_is_listed(block: Block) -> None:
    assert is_run(block) or block.kind in SHOWN or not_run(block), f"nobody runs this block of {block.kind!r}"


def test_nothing_is_listed_as_not_run_that_is_run_or_is_not_there() -> None:
    found = {listed for block in blocks() if not is_run(block) for listed in not_run(block)}
    assert found == set(NOT_RUN)


@pytest.mark.parametrize(("page", "test", "kinds"), RUN)
def test_whoever_is_said_to_run_a_page_knows_it(page: str, test: str, kinds: set[str]) -> None:
    assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")
    assert kinds == {one for block in blocks() if block.page == page for one in named(block, kinds)}


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in SHELL])
def test_every_command_of_a_block_is_one_that_the_program_takes(block: Block) -> None:
    for words in commands(block.text) if block.kind in ("sh", "console") else _portalbus_lines(block.text):
        match words:
            case ["portalbus", *rest]:
                assert parsed(CLI, _without_redirection(rest)) == "", " ".join(words)
            case ["python", "-m", module, *_] if module.startswith("portalbus"):
                assert find_spec(module) is not None, module
            case ["make", target, *_]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
            case ["pip", "install", *wanted]:
                assert all(_can_be_installed(name) for name in wanted), wanted
            case [program, *_]:
                assert program in PROGRAMS, f"{program} is not listed"


def _portalbus_lines(text: str) -> list[list[str]]:
    begun = re.compile(r"^(portalbus|pip install|python -m portalbus\S*) .*$", re.MULTILINE)
    return [words for line in begun.finditer(text) for words in commands(line[0])]


def _without_redirection(words: list[str]) -> list[str]:
    kept = [word for word in words if word not in ("2>&1", ">", ">>")]
    return kept[:-1] if len(kept) < len(words) and ">" in words else kept


def _can_be_installed(name: str) -> bool:
    """True for what anybody can install, and for those extras of this package that there are."""
    found = re.fullmatch(r"portalbus\[([\w,]+)\]", name)
    extras = set(metadata("portalbus").get_all("Provides-Extra") or ())
    return found is None or set(found[1].split(",")) <= extras


def test_every_command_that_is_named_in_a_sentence_is_there() -> None:
    unknown = {f"{page}: `{text}`" for page, text in spans() if text.startswith("portalbus ") and _unknown(text)}
    assert not unknown


def _unknown(text: str) -> bool:
    """True when the words name no command; arguments, and words that stand for some (ID, FILE), are let through."""
    command: Any = CLI
    for word in re.split(r"[\s,]+", text.removeprefix("portalbus ").replace("|", " ")):
        children = getattr(command, "commands", None)
        if word.startswith("--"):
            known = {name for parameter in command.params for name in parameter.opts}
            if word.partition("=")[0] not in known | {"--help", "--version"}:
                return True
        elif children is not None and word in children:
            command = children[word]
        elif children is not None and word.islower():
            return True
    return False


@pytest.mark.parametrize("block", of("json", "toml", "yaml"))
def test_data_can_be_read(block: Block) -> None:
    readers: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    assert readers[block.kind](textwrap.dedent(block.text))


def test_what_is_sent_to_the_gateway_is_an_event_that_no_rule_refuses() -> None:
    sent = [
        text for block in blocks() if block.kind == "sh" for words in commands(block.text) for text in json_in(words)
    ]
    assert sent
    for text in sent:
        event = json.loads(text)
        _, agency, portal = event["source"].split("/")
        payload = PAYLOADS[event["type"].rpartition(".")[2]].model_validate_json(json.dumps(event["data"]))
        facts = Facts(directory(), datetime.now(UTC))
        envelope = Envelope(
            id=event["id"],
            agency=agency,
            portal=portal,
            epoch=1,
            sequence=1,
            occurred_at=facts.now,
            published_at=facts.now,
        )
        assert list(findings(Event(envelope, payload), facts)) == []


def test_every_rule_that_a_block_names_is_in_the_catalogue() -> None:
    named = {rule for block in blocks() for rule in re.findall(r'"rule": "([^"]+)"|#([a-z]+\.[a-z-]+)"', block.text)}
    assert {one or other for one, other in named} <= set(catalogue())


@pytest.mark.parametrize("block", of("python"))
def test_python_can_be_read(block: Block) -> None:
    ast.parse(block.text)


def test_the_readme_publishes_what_it_says(
    portalbus_portal: Portal, published_events: Callable[..., list[Any]]
) -> None:
    (code,) = [block.text for block in blocks() if block.page == "README.md" and block.kind == "python"]
    scope: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), scope)
    (event,) = published_events(at_least=1)
    assert (event.key, event.sequence) == ("H26/15-CT-UBND-2026", scope["receipt"].sequence)


def test_the_statements_for_a_portals_database_make_a_view_and_a_reader_and_nothing_else() -> None:
    for block in blocks():
        if block.kind == "sql":
            text = re.sub(r"^--.*$", "", block.text, flags=re.MULTILINE)
            for statement in filter(None, (part.strip() for part in text.split(";"))):
                assert re.match(r"create (view|role|user)\b|grant select\b", statement), statement


def test_no_page_puts_the_ledger_back_by_other_means_than_restore() -> None:
    """A ledger that is put back by hand gives positions away that readers have passed: they lose events for good."""
    for page in pages():
        for sentence in re.split(r"\n\n|(?<=[.;:]) ", page.read_text(encoding="utf-8")):
            if page.parent.name != "adr" and re.search(r"pg_dump|pg_restore|restore the dump", sentence):
                assert "registry" in sentence, f"{page.name}: {sentence}"
    upgrading = (ROOT / "docs" / "howto" / "upgrading.md").read_text(encoding="utf-8")
    back = upgrading[upgrading.index("## Back again") :]
    assert re.search(
        r"Stop every process.*\nportalbus restore .*\n.*start the old version.*restore --settle", back, re.DOTALL
    )


def test_every_link_leads_to_a_file() -> None:
    lost = [f"{page.relative_to(ROOT)}: {target}" for page, target in links() if not (page.parent / target).exists()]
    assert not lost


def test_every_how_to_is_found_from_the_readme_or_the_index() -> None:
    index = [page for page in (ROOT / "README.md", ROOT / "docs" / "README.md") if page.exists()]
    told = {(page.parent / target).resolve() for page, target in links() if page in index}
    assert {page for page in pages() if page.parent.name == "howto"} <= told


def test_shell_blocks_have_no_syntax_errors() -> None:
    for block in blocks():
        if block.kind in ("sh", "console"):
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.where}: {done.stderr}"
