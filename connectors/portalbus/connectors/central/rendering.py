"""Templates and what they may call."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
from markupsafe import Markup

from portalbus.connectors.central import formats
from portalbus.connectors.central.bodies import exact_text, shown_body
from portalbus.connectors.central.document_types import document_type_name
from portalbus.connectors.central.wording import OWN, Words, all_words
from portalbus.schemas.filled_texts import OWN_NAMES


class Templates:
    """Renders the templates of the pages; every text that goes in is escaped. `packages` bring templates and texts of
    their own beside the portal's."""

    def __init__(self, *packages: str) -> None:
        self._words = all_words(*packages)
        self.environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in (*packages, OWN)]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.globals.update(
            static=static_address, own_names=OWN_NAMES, host_of=host_of, directive_path=directive_path
        )
        self.environment.filters.update(
            exact=exact_text, body=shown_body, machine=formats.machine, code=formats.public_code
        )

    def render(self, template: str, language: str, **values: Any) -> str:
        """One page or fragment in one language."""
        words = self._words[language]
        return self.environment.get_template(template).render(
            **values, t=words, language=language, show=Formatting(words)
        )


class Formatting:
    """Dates, numbers and names as the language of the page writes them."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._language = words.language

    def number(self, value: int) -> str:
        """A number with its thousands separated."""
        return formats.number(value, self._language)

    def day(self, value: date) -> str:
        """A date."""
        return formats.day(value, self._language)

    def instant(self, value: datetime) -> Markup:
        """A time as a `<time>` element."""
        return Markup('<time datetime="{}">{}</time>').format(
            formats.machine(value), formats.instant(value, self._language)
        )

    def precise(self, value: datetime) -> str:
        """A time to the millisecond."""
        return formats.precise(value, self._language)

    def later(self, before: datetime, after: datetime) -> str:
        """How much later, as +12 ms, +3.4 s, +5 min or +2 h."""
        return formats.later((after - before).total_seconds(), self._language)

    def ago(self, value: datetime, now: datetime) -> Markup:
        """How long ago, with the exact time behind it."""
        unit, count = formats.ago(value, now)
        text = self._words("ago.moment") if unit == "moment" else self._words.count(f"ago.{unit}", count)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            formats.machine(value), formats.instant(value, self._language), text
        )

    def size(self, octets: int) -> str:
        """A file size."""
        return formats.size(octets, self._language)

    def document_type(self, code: str) -> str:
        """The name of a document type."""
        return document_type_name(code, self._language)

    def tongue(self, tag: str) -> str:
        """The name of a language."""
        return self._words.name("tongue", tag.split("-")[0])


def directive_path(language: str, key: str) -> str:
    """The address of a directive's page."""
    return f"/{language}/directives/{quote(key, safe='/~')}"


def host_of(url: str) -> str:
    """The host that a link leads to, for people to see before they follow it."""
    return urlsplit(url).hostname or url


@lru_cache(maxsize=32)
def static_address(name: str, package: str = OWN, under: str = "/static") -> str:
    """The address of a static file, with a mark that changes with its content."""
    content = files(package).joinpath(f"static/{name}").read_bytes()
    return f"{under}/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
