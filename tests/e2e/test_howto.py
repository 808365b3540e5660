"""The how-to for portal developers does what it says: every block is run, and its output compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from howto_page import blocks_of, run_blocks
from portalbus_command import Portalbus

FILE = re.compile(r"^# file: (?P<name>[\w.]+)$", re.MULTILINE)
KINDS = {"text", "python", "sh", "output"}
BLOCKS = blocks_of("portal-developer.md")


def test_the_page_has_only_blocks_that_are_run() -> None:
    assert {kind for kind, _ in BLOCKS} == KINDS
    assert all(FILE.match(text) for kind, text in BLOCKS if kind == "python")


@pytest.mark.timeout(600)
def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    command = Portalbus(tmp_path / "home")
    work = tmp_path / "work"
    work.mkdir()
    for kind, text in BLOCKS:
        if kind == "python" and (name := FILE.match(text)):
            (work / name["name"]).write_text(text, encoding="utf-8")
    try:
        run_blocks(BLOCKS, work, command.environment, 500)
    finally:
        command("down")
    assert command.processes() == []
