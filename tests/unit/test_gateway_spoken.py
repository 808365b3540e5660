"""The description of the gateway says everything in three languages, and no text in a template is left in one alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from portalbus.connectors.gateway.documentation import METHODS, SHOWN, Documentation, fields
from portalbus.connectors.gateway.spoken import known_texts, spoken
from portalbus.infra.docs.openapi import openapi
from portalbus.schemas.filled_texts import LANGUAGES

TEMPLATES = sorted(Path(str(files("portalbus.connectors.gateway").joinpath("templates"))).glob("*.html"))
SAID = re.compile(r'say\("([^"]*)"\)')
# What the contracts say of fields and rules names things by their Vietnamese names; its own tests look at it.
OTHER = r'<nav class="tongues".*?</nav>|<code>.*?</code>|<table class="(?:fields|rules)">.*?</table>'
VIETNAMESE = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The gateway's OpenAPI document."""
    return openapi()["gateway"]


def english_texts(document: dict[str, Any]) -> Iterator[str]:
    """Every text that the pages show, as it stands in the code."""
    for template in TEMPLATES:
        yield from SAID.findall(template.read_text(encoding="utf-8"))
    yield from document["info"]["description"].split("\n\n")
    for methods in document["paths"].values():
        for operation in (operation for method, operation in methods.items() if method in METHODS):
            yield operation["summary"]
            yield from operation["description"].split("\n\n")
            yield from (answer["description"] for answer in operation["responses"].values())
            for one in operation.get("parameters", ()):
                yield from (one["in"], one["description"])
    schemas = document["components"]["schemas"]
    for name in SHOWN:
        yield schemas[name]["description"]
        yield from (row.text.en for row in fields(name, schemas) if row.text.en in known_texts())


def test_every_text_is_said_in_three_languages_and_none_is_kept_for_nothing(document: dict[str, Any]) -> None:
    assert {" ".join(text.split()) for text in english_texts(document)} == set(known_texts())
    for english, texts in known_texts().items():
        assert len({texts.vi, texts.en, texts.zh}) == 3, english
        assert not VIETNAMESE.search(texts.en + texts.zh), english


@pytest.mark.parametrize("name", SHOWN)
def test_every_field_is_explained_in_three_languages(document: dict[str, Any], name: str) -> None:
    for field in fields(name, document["components"]["schemas"]):
        assert len({field.text.vi, field.text.en, field.text.zh}) == 3, field.place


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_is_in_the_language_it_says(document: dict[str, Any], language: str) -> None:
    pages = Documentation()
    for page in (pages.addresses(document, language), pages.rules(language)):
        assert f'<html lang="{language}">' in page
        bare = re.sub(OTHER, " ", page, flags=re.S)
        if language != "vi":
            assert not VIETNAMESE.search(bare)
        if language != "zh":
            assert not re.search(r"[\u4e00-\u9fff]", bare)
        else:
            assert not re.search(r"[A-Za-z]+(?: [a-z]+){4,}", re.sub(r"<[^>]*>", " ", bare))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_text_of_its_own(template: Path) -> None:
    bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<pre.*?</pre>", " ", template.read_text(encoding="utf-8"), flags=re.S)
    shown = re.sub(r"<[^>]*>", " ", bare).replace("portalbus", "").replace("OpenAPI", "")
    assert not re.search(r"[^\W\d_]{2,}", shown), re.findall(r"[^\W\d_]{2,}", shown)


def test_a_text_that_nobody_knows_is_said_as_it_is() -> None:
    assert spoken("Something\nnew.", "zh") == "Something new."
