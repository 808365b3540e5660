"""Every command line and variable of the deployment files is one that the programs really take."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from portalbus.infra.cli.app import app
from portalbus.schemas.kafka_settings import KNOWN, PREFIX

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PACKAGES = ("schemas", "producers", "streams", "connectors", "infra")
WHERE = {
    "PORTALBUS_BOOTSTRAP": "kafka:9092",
    "PORTALBUS_REGISTRY": "http://registry:8080/apis/ccompat/v7",
    "PORTALBUS_DATABASE": "postgresql://portalbus@postgres/portalbus",
}


class Parsed(BaseException):
    """The command line was understood; nothing of it is to run."""


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((INFRA / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    return services["services"]  # type: ignore[no-any-return]


def containers() -> Iterator[dict[str, Any]]:
    for name in ("20-bus.yaml", "25-alerting.yaml"):
        for document in yaml.safe_load_all((INFRA / "kubernetes" / name).read_text(encoding="utf-8")):
            if document and document["kind"] == "Deployment":
                yield from document["spec"]["template"]["spec"]["containers"]


def modules() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words after `python -m`."""
    for name, service in compose().items():
        if str(service.get("command", [""])[0]).startswith("portalbus.") and name != "topics":
            yield f"compose-{name}", service["command"]
    for container in containers():
        yield f"kubernetes-{container['name']}", container["args"]
    for unit in sorted((INFRA / "systemd").glob("*.service")):
        command = re.search(r"^ExecStart=.* -m (.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
        assert command, unit
        yield f"systemd-{unit.stem}", shlex.split(command[1])


def variables() -> set[str]:
    """Every variable of ours that a deployment file sets."""
    found = {name for service in compose().values() for name in service.get("environment", ())}
    found |= set(re.findall(r"\bname: (PORTALBUS_\w+)", (INFRA / "kubernetes" / "20-bus.yaml").read_text("utf-8")))
    found |= set(re.findall(r"^ +(PORTALBUS_\w+):", (INFRA / "kubernetes" / "20-bus.yaml").read_text("utf-8"), re.M))
    for file in (INFRA / "systemd").iterdir():
        found |= set(re.findall(r"^(?:Environment=)?(PORTALBUS_\w+)=", file.read_text("utf-8"), re.MULTILINE))
    return {name for name in found if name.startswith("PORTALBUS_")}


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a module up to where its command line was read. Raises Parsed, or SystemExit when it is wrong."""
    real = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        real(self, *given, **named)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", words)
    for name, value in WHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, words[0], raising=False)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


@pytest.mark.parametrize("words", [pytest.param(words, id=where) for where, words in modules()])
def test_a_process_takes_the_command_line_it_is_deployed_with(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Parsed):
        parse(words, monkeypatch)


def test_a_flag_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        parse(["portalbus.streams.relay", "--cashe", "x"], monkeypatch)


def test_the_commands_of_the_container_that_makes_topics_exist() -> None:
    job = yaml.safe_load((INFRA / "kubernetes" / "17-prepare.yaml").read_text(encoding="utf-8"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for module, name, *options in (compose()["topics"]["command"], container["args"]):
        assert module == "portalbus.infra.cli"
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
