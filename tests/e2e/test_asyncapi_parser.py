"""The AsyncAPI document passes the parser of those who made AsyncAPI, with its Avro payloads."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from portalbus.infra.docs.asyncapi import asyncapi
from portalbus.schemas.topics import contracts

PARSER = Path(__file__).parents[1] / "data" / "asyncapi_parser"
ERROR, WARNING = 0, 1


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parser, at the versions of its lock file. No script that a package brings is run."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no Node.js with npm on this machine: the parser is written for it")
    folder = tmp_path_factory.mktemp("asyncapi") / "parser"
    shutil.copytree(PARSER, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"the parser could not be installed: {done.stderr.strip()[-300:]}")
    return folder


def test_the_asyncapi_document_passes_the_official_parser(parser: Path) -> None:
    (parser / "document.json").write_text(json.dumps(asyncapi()), encoding="utf-8")
    command = ["node", "parse.mjs", "document.json"]
    done = subprocess.run(command, cwd=parser, capture_output=True, text=True, timeout=100, check=True)
    said = json.loads(done.stdout)
    assert [one for one in said["told"] if one["severity"] in (ERROR, WARNING)] == []
    assert said["channels"] == len(asyncapi()["channels"]) >= len(contracts()) - 1
    assert said["messages"] >= said["channels"]


def test_the_parser_finds_a_payload_that_is_no_avro(parser: Path) -> None:
    document = json.dumps(asyncapi()).replace('"type": "record"', '"type": "recrod"')
    (parser / "document.json").write_text(document, encoding="utf-8")
    command = ["node", "parse.mjs", "document.json"]
    done = subprocess.run(command, cwd=parser, capture_output=True, text=True, timeout=100, check=True)
    assert any(one["severity"] == ERROR for one in json.loads(done.stdout)["told"])
