"""From what a portal calls things to what the contract calls them: one rule per field, in the words of the YAML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from portalbus.connectors.pull import dates

DAYS = frozenset({"issued_on", "effective_on", "expires_on"})
MOMENTS = frozenset({"received_at", "answered_at"})
ONE_LINE = frozenset({"title", "number", "signer", "field", "subject", "document_type", "language", "canonical_url"})
LISTS = frozenset({"recipients", "attachments", "relations"})
NUMBERS = frozenset({"category"})
TRUTHS = frozenset({"public"})
TRUE_WORDS = frozenset({"1", "true", "yes", "y", "có", "x"})

Look = Callable[[str], Any]
"""Asks one found record for something: the name of a column, an expression, a path."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class FieldRule(BaseModel):
    """Where one field of the payload comes from.

    `from` names places in the record, the first that holds something counts. `pattern` takes a part of the text (its
    first group, or all that it matches). `values` translates. `format` is how a day or moment is written, in the
    letters of strptime. `separator` splits a text into a list. `template` puts places in braces into a text. `always`
    is a fixed value, `default` the one for records that hold nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    sources: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(alias="from")] = ()
    pattern: re.Pattern[str] | None = None
    values: Mapping[str, Any] = Field(default_factory=dict)
    format: str = ""
    separator: str = ""
    template: str = ""
    always: Any = None
    default: Any = None

    @field_validator("values", mode="before")
    @classmethod
    def _keys_are_texts(cls, values: Any) -> Any:
        return {str(key): value for key, value in values.items()} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> FieldRule:
        given = [name for name in ("sources", "template") if getattr(self, name)]
        given += ["always"] if self.always is not None else []
        if len(given) > 1 or (not given and self.default is None):
            raise ValueError("say one of from, template and always (default alone is allowed too)")
        return self

    def value(self, look: Look) -> Any:
        """What this rule finds in a record: raw, None when there is nothing."""
        if self.always is not None:
            return self.always
        found = self._template(look) if self.template else _first(look(place) for place in self.sources)
        if found is not None and self.pattern is not None:
            found = _part(self.pattern, str(found))
        if found is not None and self.values:
            found = self.values.get(str(found).strip(), found)
        if isinstance(found, str) and self.separator:
            found = [part.strip() for part in found.split(self.separator) if part.strip()]
        return self.default if _nothing(found) else found

    def _template(self, look: Look) -> str | None:
        parts = re.split(r"\{([^{}]+)\}", self.template)
        values = [look(part) if index % 2 else part for index, part in enumerate(parts)]
        return None if any(_nothing(value) for value in values[1::2]) else "".join(map(str, values))


def _shorthand(value: Any) -> Any:
    return {"from": value} if isinstance(value, (str, list)) else value


MappingRules = dict[str, Annotated[FieldRule, BeforeValidator(_shorthand)]]
"""A rule per field of the payload; a text alone stands for `{from: text}`."""


def rules(defaults: Mapping[str, Any], given: Mapping[str, FieldRule]) -> dict[str, FieldRule]:
    """The rules of a kind (`defaults`, as the YAML would write them) with those that a portal's mapping gives."""
    return {**{name: FieldRule.model_validate(_shorthand(rule)) for name, rule in defaults.items()}, **given}


def mapped(field_rules: Mapping[str, FieldRule], look: Look) -> dict[str, Any]:
    """The fields of a payload, as JSON data, from one record; fields that nothing was found for are left out.

    What cannot be read (a day that is none) stays as the text it is, so that the contract's own rule names it.
    """
    data: dict[str, Any] = {}
    for name, rule in field_rules.items():
        value = _typed(name, rule.value(look), rule.format)
        if value is not None:
            data[name] = value
    return data


def one_line(text: str) -> str:
    """The text without line breaks and double spaces."""
    return " ".join(text.split())


def _typed(name: str, value: Any, format_: str) -> Any:
    if _nothing(value):
        return "" if value == "" else None  # an empty default is meant
    if name in DAYS:
        day = dates.day(value, format_)
        return day.isoformat() if day else _text(value)
    if name in MOMENTS:
        moment = dates.moment(value, format_)
        return dates.utc(moment).isoformat() if moment else _text(value)
    if name in LISTS:
        return list(value) if isinstance(value, (list, tuple)) else [value]
    if name in NUMBERS:
        return int(value) if str(value).strip().isdigit() else value
    if name in TRUTHS:
        return value if isinstance(value, bool) else str(value).strip().lower() in TRUE_WORDS
    text = _text(value)
    return one_line(text) if name in ONE_LINE else text


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # spreadsheets keep every number as a float
    return str(value)


def _part(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    if found is None:
        return None
    return found.group(1) if pattern.groups else found.group(0)


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if not _nothing(value)), None)


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], (), {})
