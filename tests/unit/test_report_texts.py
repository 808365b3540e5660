"""Reports to people: every text in three languages, and markup in nothing that comes from data."""

from __future__ import annotations

from datetime import date

import pytest

from portalbus.connectors.alerting.composing import TEXTS, Composer
from portalbus.connectors.alerting.document import Document, Section, Table, as_html, as_text
from portalbus.connectors.central.wording import all_words
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.streams.reading.synthesis import Level, LevelDay, Synthesis


def test_the_reports_have_the_same_texts_in_every_language() -> None:
    vietnamese, english, chinese = (all_words(TEXTS)[language].keys for language in LANGUAGES)
    assert vietnamese == english == chinese


def test_what_comes_from_data_is_text_in_html() -> None:
    table = Table(("<b>",), (("<script>",),))
    found = Document("vi", "A & B", (Section("C < D", ("<i>",), table),), "–")
    assert not {"<b>", "<script>", "<i>"} & set(as_html(found).split("\n"))
    assert "&lt;script&gt;" in as_html(found) and "<script>" not in as_html(found)
    assert "<b>: <script>" in as_text(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_day_is_told_with_its_levels_in_every_language(language: str) -> None:
    nothing: dict[str, int] = {}
    day = Synthesis(
        day=date(2026, 3, 2),
        agency="H26",
        level=None,
        received=7,
        by_field=nothing,
        by_area={"01": 7},
        by_agency={"H26": 7},
        by_level={level: LevelDay(7, 1, 1, 2) for level in Level},
        answered=1,
        median_hours=2.0,
        ninth_hours=9.5,
        refused=1,
        refusals={"DUPLICATE": 1},
        overdue=(),
        incidents=(),
    )
    text = as_text(Composer(language).day(day))
    assert "DUPLICATE" not in text and "9.5" in text
    assert text.count("7") >= 6
