"""Any text a reader types is a query PostgreSQL takes, and finds the text it came from."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portalbus.infra.stack import Endpoints
from portalbus.schemas.search_text import fold, query

WORDS = ["kết", "nối", "Chỉ thị", "đường", "HOÀ", "15/CT-TTg", "電子ポータル", "政府", "Số: 7", "1e5", "a.b"]


@pytest.fixture(scope="module")
def database(endpoints: Endpoints) -> Iterator[psycopg.Connection[tuple[bool]]]:
    with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
        yield connection


def found(database: psycopg.Connection[tuple[bool]], text: str, typed: str) -> bool:
    row = database.execute(
        "select to_tsvector('simple', %s) @@ to_tsquery('simple', %s)", (fold(text), query(typed))
    ).fetchone()
    assert row is not None
    return row[0]


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=st.text(max_size=200))
def test_no_text_breaks_the_query(database: psycopg.Connection[tuple[bool]], typed: str) -> None:
    found(database, "kết nối", typed)


@pytest.mark.parametrize("typed", ["x" * 100_000, "x " * 50_000, "電" * 100_000, "\U0001f600", "a' or 1=1"])
def test_no_length_breaks_the_query(database: psycopg.Connection[tuple[bool]], typed: str) -> None:
    found(database, typed, typed)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), taken=st.data())
def test_a_text_is_found_by_any_of_its_words(
    database: psycopg.Connection[tuple[bool]], words: list[str], taken: st.DataObject
) -> None:
    typed = taken.draw(st.lists(st.sampled_from(words), min_size=1, max_size=4))
    assert found(database, " ".join(words), " ".join(typed))


@pytest.mark.parametrize("typed", ["ket noi", "kết nối", "KẾT NỐI", "ket no", "nghị kết nối", "電子ポータル", "子ポ"])
def test_a_reader_finds_it_with_and_without_diacritics_and_by_its_beginning(
    database: psycopg.Connection[tuple[bool]], typed: str
) -> None:
    assert found(database, "Hội nghị kết nối thông tin chỉ đạo, điều hành: 政府電子ポータル", typed)


@pytest.mark.parametrize("typed", ["ket noi khong co", "門户", "xyz"])
def test_what_is_not_there_is_not_found(database: psycopg.Connection[tuple[bool]], typed: str) -> None:
    assert not found(database, "Hội nghị kết nối thông tin chỉ đạo, điều hành: 政府電子ポータル", typed)
