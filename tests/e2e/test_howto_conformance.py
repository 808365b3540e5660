"""The how-to of the conformance kit does what it says: its blocks are run, its scenario is one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from central_process import free_port
from howto_page import blocks_of, run_blocks
from portalbus.connectors.conformance.scenario import Scenario
from portalbus_command import Portalbus

BLOCKS = blocks_of("conformance.md")


def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "output", "toml"}
    port = str(free_port())
    blocks = [(kind, text.replace("9000", port)) for kind, text in BLOCKS]
    run_blocks(blocks, tmp_path, Portalbus(tmp_path / "home").environment, 120)
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["conforms"] is True


def test_the_scenario_of_the_page_is_one() -> None:
    ((_, text),) = [block for block in BLOCKS if block[0] == "toml"]
    scenario = Scenario.model_validate(tomllib.loads(text))
    assert scenario.arrives == "*"
    assert len(scenario.step) == 3
