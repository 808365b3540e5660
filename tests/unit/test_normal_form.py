"""Text is put into NFC once, by the sender's side, wherever in a record it stands."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from portalbus.schemas import example_files
from portalbus.schemas.models import DirectivePublished, FeedbackReceived
from portalbus.schemas.normal_form import normalise
from portalbus.schemas.rules import texts_of


def directive() -> DirectivePublished:
    payload = next(item for item in example_files.valid() if item.name == "publish-text").event().payload
    assert isinstance(payload, DirectivePublished)
    return payload


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def test_a_record_in_normal_form_is_itself() -> None:
    record = directive()
    assert normalise(record) is record


def test_every_text_is_normalised_also_inside_lists_and_nested_records() -> None:
    record = directive()
    data = record.model_dump()
    loose = DirectivePublished.model_validate(
        {
            **data,
            "title": decomposed(record.title),
            "signer": decomposed(record.signer or ""),
            "relations": [{**data["relations"][0], "target": decomposed("Nghị định số 15")}],
            "attachments": [{**data["attachments"][0], "name": decomposed("Chỉ thị.pdf")}],
        }
    )
    found = normalise(loose)
    assert found.title == record.title
    assert found.signer == record.signer
    assert found.relations[0].target == "Nghị định số 15"
    assert found.attachments[0].name == "Chỉ thị.pdf"
    assert found.model_copy(update={"relations": record.relations, "attachments": record.attachments}) == record


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_what_is_normalised_is_normal_and_stays_so(text: str) -> None:
    example = next(item for item in example_files.valid() if item.record == "FeedbackReceived").event().payload
    assert isinstance(example, FeedbackReceived)
    found = normalise(example.model_copy(update={"content": text}))
    assert found.content == unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    assert "\r" not in found.content
    assert all(unicodedata.is_normalized("NFC", item) for _, item in texts_of(found))
    assert normalise(found) is found


def test_line_ends_of_web_forms_become_newlines() -> None:
    typed = directive().model_copy(update={"title": "Một dòng", "body": "dòng một\r\ndòng hai\rdòng ba\n"})
    assert normalise(typed).body == "dòng một\ndòng hai\ndòng ba\n"
