"""Every text exists in all three languages, every key that is used exists, and no text hides in a template."""

from __future__ import annotations

import re
import string
from importlib.resources import files
from pathlib import Path

import pytest

from portalbus.connectors.central.rendering import Templates
from portalbus.connectors.central.wording import all_words
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.models import (
    Channel,
    DirectiveAction,
    DocumentUrgency,
    Outcome,
    RefusalReason,
    RelationKind,
)

CENTRAL = Path(str(files("portalbus.connectors.central")))
TEMPLATES = sorted((CENTRAL / "templates").glob("*.html"))
KEY = re.compile(r'\bt(?:\.count)?\(\s*"([a-z_]+\.[A-Za-z0-9_.]+)"|\bwords(?:\.count)?\(\s*"([a-z_]+\.[a-z_.]+)"')
CODES = {
    "action": DirectiveAction,
    "urgency": DocumentUrgency,
    "relation": RelationKind,
    "outcome": Outcome,
    "outcome_text": Outcome,
    "reason": RefusalReason,
    "channel": Channel,
}


def places(text: str) -> set[str]:
    """The names of the {places} in a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_three_languages_have_the_same_keys() -> None:
    vietnamese, english, chinese = (all_words()[language].keys for language in LANGUAGES)
    assert vietnamese == english == chinese


@pytest.mark.parametrize("key", sorted(all_words()["vi"].keys))
def test_a_text_has_the_same_places_in_every_language_and_is_not_empty(key: str) -> None:
    texts = [all_words()[language](key) for language in LANGUAGES]
    assert all(text.strip() for text in texts)
    assert places(texts[0]) == places(texts[1]) == places(texts[2])


@pytest.mark.parametrize("language", ["vi", "en"])
def test_no_chinese_is_left_in_another_language(language: str) -> None:
    words = all_words()[language]
    assert not [key for key in words.keys if re.search(r"[\u4e00-\u9fff]", words(key))]


def test_no_vietnamese_is_left_in_english_or_chinese() -> None:
    marks = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
    for language in ("en", "zh"):
        words = all_words()[language]
        assert not [key for key in words.keys if marks.search(words(key))]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_key_that_a_template_uses_exists(template: Path) -> None:
    for match in KEY.finditer(template.read_text(encoding="utf-8")):
        key = match[1]
        assert key is None or key in all_words()["vi"].keys or f"{key}.other" in all_words()["vi"].keys


def test_every_key_that_the_code_uses_exists() -> None:
    for module in CENTRAL.rglob("*.py"):
        for match in KEY.finditer(module.read_text(encoding="utf-8")):
            key = match[1] or match[2]
            assert key in all_words()["vi"].keys or f"{key}.other" in all_words()["vi"].keys, (module.name, key)


@pytest.mark.parametrize("group", CODES)
def test_every_code_of_the_contracts_has_a_name(group: str) -> None:
    for code in CODES[group]:
        assert all_words()["vi"].has(f"{group}.{code.value}"), code


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_text_of_its_own(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", source, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", re.sub(r"<code>[^<]*</code>", " ", bare))
    assert not re.search(r"[^\W\d_]{2,}", shown), re.findall(r"[^\W\d_]{2,}", shown)
    for attribute in re.findall(r'(?:alt|title|aria-label|placeholder|content)="([^"]*)"', bare):
        assert not re.search(r"[^\W\d_]{2,}", re.sub(r"width=device-width.*|light dark", "", attribute)), attribute


def test_a_text_that_takes_markup_escapes_the_rest() -> None:
    shown = Templates().environment.from_string('{{ t("directive.withdrawn_reason", reason="<b>") }}')
    assert shown.render(t=all_words()["en"]) == "Reason: &lt;b&gt;"


def test_english_tells_one_from_many() -> None:
    assert all_words()["en"].count("ago.days", 1) == "1 day ago"
    assert all_words()["en"].count("ago.days", 1200) == "1,200 days ago"
    assert all_words()["vi"].count("ago.days", 1) == "1 ngày trước"
