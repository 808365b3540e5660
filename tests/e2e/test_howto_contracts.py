"""The page for those who change contracts does what it says."""

from __future__ import annotations

import os
from pathlib import Path

from howto_page import blocks_of, run_blocks

BLOCKS = blocks_of("evolving-a-contract.md")


def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "output"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORTALBUS_HOME": str(tmp_path / "home")}
    run_blocks(BLOCKS, tmp_path, environment, 120)
