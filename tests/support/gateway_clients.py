"""The sample clients of the gateway, each run as its portal would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gateway_process import GatewayProcess
from portalbus.producers import new_event_id

CLIENTS = Path(str(files("portalbus.connectors.gateway"))) / "clients"
COMMANDS = {
    "publish.sh": ("sh", "curl"),
    "publish.php": ("php",),
    "publish.mjs": ("node",),
    "Publish.java": ("java",),
}


def assert_a_client_publishes_and_hears(client: str, gateway: GatewayProcess, agency: str, folder: Path) -> None:
    """It publishes, hears the verdict, gets the first receipt for the same id, and is told of a broken rule."""
    needed = COMMANDS[client]
    if missing := [program for program in needed if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    source = f"/{agency}/{client.lower().replace('.', '-')}"
    good = {**json.loads((CLIENTS / "directive.json").read_text()), "directive_id": f"of-{client}"}
    environment = {
        **os.environ,
        "GATEWAY_URL": gateway.address,
        "GATEWAY_KEY": gateway.key(agency, source.rpartition("/")[2]),
        "GATEWAY_SOURCE": source,
        "GATEWAY_LANGUAGE": "en",
    }

    def run(data: dict[str, Any], *more: str) -> tuple[int, str]:
        file = folder / "data.json"
        file.write_text(json.dumps(data, ensure_ascii=False))
        command: Sequence[str] = [needed[0], str(CLIENTS / client), "DirectivePublished", str(file), *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    event_id = new_event_id()
    status, said = run(good, event_id)
    assert status == 0, said
    assert f"{agency}/of-{client}" in said
    assert "event.accepted" in said
    first = said.splitlines()[0]
    status, said = run(good, event_id)
    assert (status, said.splitlines()[0]) == (0, first), "the same id gets the first receipt"
    status, said = run({**good, "canonical_url": "no address"})
    assert status == 1, said
    assert "text.address-not-web" in said
