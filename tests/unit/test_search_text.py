"""What a reader types finds what a portal wrote, in any script, and nothing typed can break the query."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalbus.schemas.search_text import MAX_QUERY_WORDS, MAX_WORD_CHARACTERS, fold, query

NFD = unicodedata.normalize("NFD", "kết nối")
TSQUERY = re.compile(r"[^\W_]+(:\*)?( & [^\W_]+(:\*)?)*")


@pytest.mark.parametrize("text", ["kết nối", "ket noi", "KẾT NỐI", "Kết  nối!", NFD])
def test_diacritics_case_form_and_spaces_make_no_difference(text: str) -> None:
    assert fold(text) == "ket noi"
    assert query(text) == "ket & noi:*"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hoà", "hòa"),
        ("thuý", "thúy"),
        ("Đắk Lắk", "dak lak"),
        ("đường", "duong"),
        ("ĐƯỜNG", "Đường"),
        ("ﬁle", "file"),
        ("Ｈ２６", "h26"),
        ("İstanbul", "istanbul"),
        ("x\u0323\u0302", "x"),
        ("𝑨𝑩", "ab"),
        ("ǆ", "dz"),
        ("㎏", "kg"),
    ],
)
def test_two_spellings_of_a_word_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_numbers_and_notations_are_cut_at_their_signs() -> None:
    assert fold("15/CT-TTg") == "15 ct ttg"
    assert fold("Số: 224/2026/NĐ-CP.") == "so 224 2026 nd cp"


def test_scripts_without_spaces_become_overlapping_pairs() -> None:
    assert fold("電子ポータル") == "電子 子ポ ポー ータ タル"
    assert query("電子ポータル") == "電子 & 子ポ & ポー & ータ & タル"
    assert fold("政府门户") == "政府 府门 门户"


def test_a_single_character_of_such_a_script_is_a_prefix() -> None:
    assert query("電") == "電:*"


def test_mixed_scripts_are_kept_apart() -> None:
    assert fold("Cổng政府portal電子2026") == "cong 政府 portal 電子 2026"


@pytest.mark.parametrize("text", ["", "  ", "_", "&|!():*<->'\"\\", "\x00", "…—–", "\u0301"])
def test_no_word_is_no_query(text: str) -> None:
    assert fold(text) == ""
    assert query(text) == ""


@pytest.mark.parametrize("text", ["a & b | !c", "ket:* & (noi", "x' OR 1=1 --", "a <-> b", "a\\'b", "noi:ABCD", "%a_%"])
def test_operators_typed_by_a_reader_are_not_operators(text: str) -> None:
    assert TSQUERY.fullmatch(query(text))


def test_a_query_has_a_bound_on_words_and_on_their_length() -> None:
    assert query("a " * 500).count("&") == MAX_QUERY_WORDS - 1
    assert query("x" * 5_000) == "x" * MAX_WORD_CHARACTERS + ":*"
    assert fold("x" * 5_000) == "x" * MAX_WORD_CHARACTERS


@given(st.text(max_size=300))
def test_any_text_gives_a_valid_query_or_none(text: str) -> None:
    found = query(text)
    assert found == "" or TSQUERY.fullmatch(found)
    assert bool(found) == bool(fold(text))


@given(st.text(max_size=300))
def test_folded_text_has_no_case_and_no_marks_whatever_its_form(text: str) -> None:
    folded = fold(text)
    assert folded == folded.lower()
    assert fold(text) == fold(unicodedata.normalize("NFD", text))
    assert not any(unicodedata.combining(character) for character in folded)


@given(st.lists(st.sampled_from(["kết", "nối", "電子", "portal", "đường", "h26"]), min_size=1, max_size=6))
def test_every_word_of_a_query_is_a_word_of_the_text_it_came_from(words: list[str]) -> None:
    text = " ".join(words)
    assert {word.removesuffix(":*") for word in query(text).split(" & ")} <= set(fold(text).split())
