"""Reads the configuration file; a mistake is named by file, line, place, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from portalbus.connectors.pull.config import PortalConfig, PullConfig
from portalbus.connectors.pull.kinds import KINDS, kind
from portalbus.schemas.errors import PortalbusError

MAX_FILE_BYTES = 8 * 1024 * 1024


class ConfigWrong(PortalbusError):
    """The configuration file has mistakes; `problems` names each with its line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def read_config(path: Path) -> PullConfig:
    """The configuration in a file. Raises ConfigWrong with every mistake found."""
    try:
        text = path.read_bytes()[: MAX_FILE_BYTES + 1].decode("utf-8-sig")
    except OSError as error:
        raise ConfigWrong([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError as error:
        raise ConfigWrong([f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8"]) from None
    node, data = _parsed(path, text)
    if not isinstance(data, dict):
        raise ConfigWrong([f"{path}:1: the file holds no settings; it begins with `portals:`"])
    return _checked(_Place(path, node), data)


class _Place:
    """Where things stand in the file."""

    def __init__(self, path: Path, node: yaml.Node | None) -> None:
        self.path = path
        self.node = node

    def problem(self, location: Sequence[int | str], text: str) -> str:
        """One line: file, line, place, text."""
        node, shown = self.node, ""
        line = node.start_mark.line if node else 0
        for part in location:
            found = _child(node, part)
            shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else str(part)
            if found is None:
                continue
            line, node = found
        return f"{self.path}:{line + 1}: {shown + ': ' if shown else ''}{text}"


def _parsed(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return node, loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigWrong([f"{path}:{line}: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigWrong([f"{path}:1: this is no YAML: {error}"]) from None


class _Loader(yaml.SafeLoader):
    """YAML as the safe loader reads it, but a name given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping. Raises a marked error where a name is there twice."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is there twice: keep one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _checked(place: _Place, data: dict[Any, Any]) -> PullConfig:
    problems: list[str] = []
    portals: list[PortalConfig] = []
    given = data.get("portals")
    for index, portal in enumerate(given if isinstance(given, list) else []):
        try:
            portals.append(_portal(place, index, portal))
        except ConfigWrong as error:
            problems += error.problems
    problems += _twice(place, portals) if not problems else []
    rest = {**data, "portals": portals} if isinstance(given, list) else data
    try:
        config = PullConfig.model_validate(rest)
    except ValidationError as error:
        # What is wrong with the portals was named already, each with its own line.
        told = [item for item in error.errors() if not (problems and item["loc"] in ((), ("portals",)))]
        problems += [place.problem(item["loc"], _words(item, PullConfig)) for item in told]
    if problems:
        raise ConfigWrong(problems)
    folder = place.path.parent
    return config.model_copy(update={"outbox": folder / config.outbox, "memory": folder / config.memory})


def _twice(place: _Place, portals: Sequence[PortalConfig]) -> Iterator[str]:
    seen: set[str] = set()
    for index, portal in enumerate(portals):
        if portal.entry in seen:
            text = f"{portal.entry} is there twice: give the second one a name of its own (name: …)"
            yield place.problem(("portals", index), text)
        seen.add(portal.entry)


def _portal(place: _Place, index: int, data: Any) -> PortalConfig:
    here = ("portals", index)
    if not isinstance(data, dict):
        raise ConfigWrong([place.problem(here, "a portal is a list of settings: agency, portal, kind, address, …")])
    name = data.get("kind")
    if name not in KINDS:
        said = f"no such kind: {name}" if name else "kind is missing"
        raise ConfigWrong([place.problem((*here, "kind"), f"{said}; there are {', '.join(KINDS)}")])
    settings = kind(str(name)).settings
    try:
        return settings.model_validate(data)
    except ValidationError as error:
        raise ConfigWrong(
            [place.problem((*here, *item["loc"]), _words(item, settings)) for item in error.errors()]
        ) from None


def _words(item: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong and how to mend it. The value itself is not shown: it may be a secret."""
    name = str(item["loc"][-1]) if item["loc"] else ""
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, model.model_fields, 1)
        return "no such setting" + (f"; did you mean {near[0]}?" if near else "")
    return item["msg"].removeprefix("Value error, ")


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """Line and node of one step deeper; None where the file has no such step."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None
