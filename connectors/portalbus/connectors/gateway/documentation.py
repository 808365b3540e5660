"""Renders the description of the gateway for people, from the same OpenAPI document that programs read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from portalbus.connectors.gateway.problems import own_problems
from portalbus.connectors.gateway.spoken import known_texts, spoken
from portalbus.schemas.avro_files import ALL_TYPES, current
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.field_texts import field_texts
from portalbus.schemas.filled_texts import LANGUAGES, OWN_NAMES
from portalbus.schemas.models import Texts

METHODS = ("get", "post", "put", "patch", "delete")
DEEPEST = 4
CODE = re.compile(r"`([^`]+)`")
CENTRAL = "portalbus.connectors.central"
"""Whose mark the pages show."""
SHOWN = (
    "DirectivePublishedEvent",
    "FeedbackReceivedEvent",
    "FeedbackProgressedEvent",
    "FeedbackResolvedEvent",
    "BatchResult",
    "Verdict",
)
IN = {"vi": "The text in Vietnamese.", "en": "The text in English.", "zh": "The text in Chinese."}
"""What the fields of a text in three languages are."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields; `place` is its path, such as `data.attachments[].url`."""

    place: str
    kind: str
    needed: bool
    text: Texts


class Documentation:
    """The pages of the description."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(__package__),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals.update(own_names=OWN_NAMES, languages=LANGUAGES)
        self.style = files(__package__).joinpath("static/docs.css").read_bytes()
        self.mark = files(CENTRAL).joinpath("static/mark.svg").read_bytes()

    def addresses(self, document: Mapping[str, Any], language: str) -> str:
        """Every address, with the fields of what goes in and comes out."""
        schemas = document["components"]["schemas"]
        operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method in METHODS
        ]
        models = [(name, schemas[name], list(fields(name, schemas))) for name in SHOWN]
        return self._render("addresses.html", language, document=document, operations=operations, models=models)

    def rules(self, language: str) -> str:
        """Every rule, of the contracts and of the gateway."""
        own = [(status, rule) for status, rule in own_problems().values()]
        rules = sorted(catalogue().values(), key=lambda rule: rule.id)
        return self._render("rules.html", language, rules=rules, own=own)

    def _render(self, template: str, language: str, **values: Any) -> str:
        def say(english: str) -> Markup:
            return Markup(CODE.sub(r"<code>\1</code>", str(escape(spoken(english, language)))))  # noqa: S704

        return self._templates.get_template(template).render(**values, language=language, say=say)


def fields(name: str, schemas: Mapping[str, Any]) -> Iterator[Field]:
    """The fields of a schema, those of nested objects behind their own, with what they mean in three languages.

    What the contracts have says there what it means; the rest does so in `texts.toml`.
    """
    contract = name.removesuffix("Event")
    known = {one.path: one.meaning for one in field_texts(current(contract).raw)} if contract in ALL_TYPES else {}
    for place, schema, english, needed in _fields(schemas[name], schemas):
        meaning = known.get(place.removeprefix("data.").replace("[]", "")) or known_texts().get(
            english, Texts(vi=english, en=english, zh=english)
        )
        yield Field(place, _kind(schema, schemas), needed, meaning)


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str = "", depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any], str, bool]]:
    needed = set(schema.get("required", ()))
    for name, found in schema.get("properties", {}).items():
        inner = _resolved(found, schemas)
        path = f"{place}{name}"
        items = _resolved(inner["items"], schemas) if "items" in inner else None
        yield path, inner, str(found.get("description") or inner.get("description") or IN.get(name, "")), name in needed
        nested = items if items is not None else inner
        if nested.get("properties") and depth < DEEPEST:
            yield from _fields(nested, schemas, f"{path}{'[]' if items is not None else ''}.", depth + 1)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return found
    some = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(some[0], schemas) if len(some) == 1 else schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_kind(_resolved(one, schemas), schemas) for one in schema["anyOf"])
    bounds = [
        f"{word} {schema[name]}"
        for name, word in (
            ("format", ""),
            ("minLength", "≥"),
            ("maxLength", "≤"),
            ("minimum", "≥"),
            ("maximum", "≤"),
            ("maxItems", "≤"),
            ("pattern", "~"),
        )
        if name in schema
    ]
    return " ".join([str(schema.get("type", "any")), *bounds]).replace("  ", " ")
