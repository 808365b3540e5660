"""The pages for operators and for those who change contracts do what they say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from howto_page import blocks_of, run_blocks
from portalbus.connectors.alerting.settings import read_settings

SHOWN = {"console", "toml"}
"""Blocks that need a machine of the reader's own."""


@pytest.mark.parametrize("page", ["operations.md", "evolving-a-contract.md"])
def test_every_block_marked_sh_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    assert {kind for kind, _ in blocks} <= {"sh", "output", *SHOWN}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORTALBUS_HOME": str(tmp_path / "home")}
    run_blocks(blocks, tmp_path, environment, 120)


def test_the_settings_on_the_page_can_be_used(tmp_path: Path) -> None:
    text = next(text for kind, text in blocks_of("operations.md") if kind == "toml")
    config = tmp_path / "alerting.toml"
    config.write_text(text, encoding="utf-8")
    found = read_settings(config, {"SMTP_PASSWORD": "x", "HOOK_SECRET": "x"})
    assert [one.agency for one in found.mailbox] == ["H26", "*"]
