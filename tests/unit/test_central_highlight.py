"""Words are marked as the search finds them: with or without diacritics, at the beginning of a word, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalbus.connectors.central.highlight import SearchWords, marked, snippet


@pytest.mark.parametrize(
    ("typed", "text", "expected"),
    [
        ("ket noi", "Hội nghị kết nối ở Hà Nội", "Hội nghị <mark>kết nối</mark> ở Hà Nội"),
        ("kết nối", "KẾT NỐI thông tin", "<mark>KẾT NỐI</mark> thông tin"),
        ("dien tu", "Cổng điện tử", "Cổng <mark>điện tử</mark>"),
        ("nghi", "Hội nghị", "Hội <mark>nghị</mark>"),
        ("dieu", "điều hành, điều", "<mark>điều</mark> hành, <mark>điều</mark>"),
        ("hanoi dan", "danh mục", "<mark>danh</mark> mục"),
        ("電子ポータル", "地方の電子ポータルに接続", "地方の<mark>電子ポータル</mark>に接続"),
        ("電", "電子", "<mark>電</mark>子"),
        ("15/CT-TTg", "Chỉ thị 15/CT-TTg", "Chỉ thị <mark>15</mark>/<mark>CT</mark>-<mark>TTg</mark>"),
        ("a <b>", "a <b> c", "<mark>a</mark> &lt;<mark>b</mark>&gt; c"),
        ("", "không có gì", "không có gì"),
        ("&!|():*'", "không có gì", "không có gì"),
    ],
)
def test_what_was_typed_is_marked(typed: str, text: str, expected: str) -> None:
    assert marked(text, SearchWords.of(typed)) == expected


@given(st.text(), st.text())
def test_marking_changes_no_character_of_the_text(typed: str, text: str) -> None:
    words = SearchWords.of(typed)
    spans = words.spans(text)
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert marked(text, words).striptags is not None
    assert marked(text, words).unescape().replace("<mark>", "").replace("</mark>", "") == text.replace(
        "<mark>", ""
    ).replace("</mark>", "")


def test_a_snippet_begins_shortly_before_the_first_word_found() -> None:
    shown = snippet("mở đầu " * 100 + "kết nối " + "sau đó " * 100, SearchWords.of("ket noi"))
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert "<mark>kết nối</mark>" in shown
    assert len(shown) < 300


def test_a_short_text_is_its_own_snippet() -> None:
    assert snippet("Một câu  ngắn.\n", SearchWords.of("xyz")) == "Một câu ngắn."
