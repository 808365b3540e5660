"""The how-to for portal developers does what it says: every block is run, and its output compared."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from portalbus_command import Portalbus

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "portal-developer.md"
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^# file: (?P<name>[\w.]+)$", re.MULTILINE)
KINDS = {"text", "python", "sh", "output"}
END_OF_BLOCK = "=== end of block"


def blocks() -> list[tuple[str, str]]:
    return [(fence["kind"], fence["text"]) for fence in FENCE.finditer(PAGE.read_text(encoding="utf-8"))]


def test_the_page_has_only_blocks_that_are_run() -> None:
    assert {kind for kind, _ in blocks()} == KINDS
    assert all(FILE.match(text) for kind, text in blocks() if kind == "python")


@pytest.mark.timeout(600)
def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    command = Portalbus(tmp_path / "home")
    work = tmp_path / "work"
    work.mkdir()
    for kind, text in blocks():
        if kind == "python" and (name := FILE.match(text)):
            (work / name["name"]).write_text(text, encoding="utf-8")
    script = "set -eu\n" + "".join(f"{text}echo '{END_OF_BLOCK}'\n" for kind, text in blocks() if kind == "sh")
    path = f"{Path(sys.executable).parent}:{command.environment['PATH']}"
    try:
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=work,
            env={**command.environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    finally:
        command("down")
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = iter(done.stdout.split(END_OF_BLOCK + "\n"))
    said = ""
    for kind, text in blocks():
        if kind == "sh":
            said = next(outputs)
        elif kind == "output":
            assert_said(text.splitlines(), said)
    assert command.processes() == []


def assert_said(wanted: list[str], said: str) -> None:
    """Every line of the page stands in the output, in this order; … stands for anything."""
    lines = iter(said.splitlines())
    for line in wanted:
        pattern = re.sub(r"([*?\[])", r"[\1]", line.strip()).replace("…", "*")
        assert any(fnmatchcase(found.strip(), pattern) for found in lines), f"{line!r} is not in:\n{said}"
