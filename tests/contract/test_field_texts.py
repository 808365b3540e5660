"""Every field of every record has a meaning in three languages, and nothing else has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from portalbus.schemas.avro_files import ALL_TYPES, current
from portalbus.schemas.field_texts import WHOLE, field_texts, known_texts, record_in, record_text


def records(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for field in schema["fields"]:
        inner = record_in(field["type"])
        if inner is not None:
            yield from records(inner)


def test_the_list_is_complete_and_has_nothing_that_the_schemas_lack() -> None:
    wanted = {
        found["name"]: {WHOLE, *(field["name"] for field in found["fields"])}
        for name in ALL_TYPES
        for found in records(current(name).raw)
    }
    assert {name: set(texts) for name, texts in known_texts().items()} == wanted


@pytest.mark.parametrize("name", ALL_TYPES)
def test_a_field_is_explained_in_words_of_each_language(name: str) -> None:
    schema = current(name).raw
    texts = [record_text(schema), *(field.meaning for field in field_texts(schema))]
    for text in texts:
        assert text.en.endswith((".", "…")) and text.vi.endswith((".", "…")) and text.zh.endswith(("。", "…"))
        assert len({text.vi, text.en, text.zh}) == 3
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)


def test_a_field_within_a_list_has_its_path() -> None:
    paths = [field.path for field in field_texts(current("DirectivePublished").raw)]
    assert {"envelope.agency", "attachments.url", "relations.kind"} <= set(paths)
    assert len(paths) == len(set(paths))
