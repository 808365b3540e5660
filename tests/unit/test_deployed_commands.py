"""Every command line and variable of the deployment files is one that the programs really take."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from deployed import INFRA, compose, kubernetes, systemd
from portalbus.infra.cli.app import app
from portalbus.schemas.kafka_settings import KNOWN, PREFIX

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "producers", "streams", "connectors", "infra")
WHERE = {
    "PORTALBUS_BOOTSTRAP": "kafka:9092",
    "PORTALBUS_REGISTRY": "http://registry:8080/apis/ccompat/v7",
    "PORTALBUS_DATABASE": "postgresql://portalbus@postgres/portalbus",
}


class Parsed(BaseException):
    """The command line was understood; nothing of it is to run."""


def modules() -> Iterator[tuple[str, list[str], Mapping[str, str]]]:
    """Where it stands, the words after `python -m`, and the environment."""
    for kind, found in (("compose", compose()), ("kubernetes", kubernetes()), ("systemd", systemd())):
        for one in found:
            if one.command[0] != "portalbus.infra.cli":
                yield f"{kind}-{one.name}", [*one.command], one.environment


def variables() -> set[str]:
    """Every variable of ours that a deployment file sets."""
    found = {name for one in (*compose(), *kubernetes()) for name in one.environment}
    for file in (INFRA / "systemd").iterdir():
        found |= set(re.findall(r"^#?(?:Environment=)?(PORTALBUS_\w+)=", file.read_text("utf-8"), re.MULTILINE))
    return {name for name in found if name.startswith("PORTALBUS_")}


def parse(words: list[str], environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a module up to where its command line was read. Raises Parsed, or SystemExit when it is wrong."""
    real = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        real(self, *given, **named)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", words)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, words[0], raising=False)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


@pytest.mark.parametrize(("words", "environment"), [pytest.param(*told, id=where) for where, *told in modules()])
def test_a_process_takes_the_command_line_it_is_deployed_with(
    words: list[str], environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Parsed):
        parse(words, environment, monkeypatch)


def test_a_flag_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        parse(["portalbus.streams.relay", "--cashe", "x"], WHERE, monkeypatch)


def test_the_commands_of_the_container_that_makes_topics_exist() -> None:
    preparing = [one for one in (*compose(), *kubernetes()) if one.command[0] == "portalbus.infra.cli"]
    assert [one.name for one in preparing] == ["topics", "prepare"]
    for one in preparing:
        _, name, *options = one.command
        group: Any = typer.main.get_command(app)
        known = {flag for option in group.commands[name].params for flag in (*option.opts, *option.secondary_opts)}
        assert set(options) <= known


def test_every_variable_is_one_that_the_programs_read() -> None:
    text = "".join(
        file.read_text(encoding="utf-8")
        for package in PACKAGES
        for file in (ROOT / package / "portalbus").rglob("*.py")
    )
    assert len(variables()) >= 5
    kafka = {PREFIX + name.upper().replace(".", "_") for name in KNOWN}
    assert {name for name in variables() - kafka if f'"{name}"' not in text} == set()
