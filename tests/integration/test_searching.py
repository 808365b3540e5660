"""Search in a real ledger: the number at once, titles before texts, the newest of equals first, answers, filters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import date, timedelta
from typing import Any, TypeVar

import httpx2
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central_process import CentralProcess
from ledger_rows import LedgerRows, answer, directive, feedback
from portalbus.schemas.search_text import fold
from portalbus.streams.reading.answers import answers_of, public_answer
from portalbus.streams.reading.directives import directives_of, known_fields
from portalbus.streams.reading.pool import Connection, connection_arguments
from portalbus.streams.reading.search_shelves import ANSWERS, DIRECTIVES, Asked, Layout, Layouts, Shelf, Window
from portalbus.streams.reading.searching import search

T = TypeVar("T")
DAY = date(2026, 11, 20)
LETTERS = "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹéèêëçñöü"
VIETNAMESE = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from(LETTERS + LETTERS.upper()))

CJK = "路灯已修好的中央政府门户网站電子ポータルガぷー々ｶｷ가로등株㈱豈ＡＢ１２、。・"
EVERY_SCRIPT = st.text(st.sampled_from(CJK + LETTERS + " abcXYZ019,.-/\n"))


@pytest.fixture(scope="module")
def ask(ledger_url: str) -> Iterator[Callable[[Callable[[Connection], Coroutine[Any, Any, T]]], T]]:
    """Runs a question on a connection like the portal's."""
    with asyncio.Runner() as runner:
        connection = runner.run(psycopg.AsyncConnection.connect(ledger_url, **connection_arguments("test")))
        yield lambda question: runner.run(question(connection))
        runner.run(connection.close())


@pytest.fixture
def find(ask: Any, ledger: LedgerRows) -> Callable[..., list[str]]:
    """The keys that a search finds."""

    def find(text: str = "", shelf: Shelf = DIRECTIVES, layouts: Layouts | None = None, **given: Any) -> list[str]:
        paging = {name: given.pop(name) for name in ("skip", "limit") if name in given}
        asked = Asked(text, **given)
        found = ask(lambda connection: search(connection, layouts or Layouts(), shelf, asked, **paging))
        return [key.removeprefix("G22/") for key in found.keys]

    return find


def publish(ledger: LedgerRows, name: str, **values: Any) -> None:
    """A directive about something that no search here looks for, but for what is said."""
    given = {"title": "Công văn", "number": "", "body": "Nội dung.", "issued_on": DAY}
    ledger.publish(directive(name, **{**given, **values}), values.pop("by", "G22"))


def test_the_number_comes_first_then_titles_then_texts_and_of_equals_the_newest(
    find: Callable[..., list[str]], ledger: LedgerRows
) -> None:
    publish(ledger, "text-old", body="Thực hiện 15 CT TTg.", issued_on=DAY - timedelta(days=9))
    publish(ledger, "text-new", body="Căn cứ Chỉ thị 15/CT-TTg.")
    publish(ledger, "title", title="Triển khai Chỉ thị 15/CT-TTg", issued_on=DAY - timedelta(days=400))
    publish(ledger, "number", number="15/CT-TTg", issued_on=DAY - timedelta(days=4000))
    publish(ledger, "begun", number="15/CT-TTgCP", issued_on=DAY - timedelta(days=4001))
    publish(ledger, "other", number="115/CT-TTg")
    for typed in ("15/CT-TTg", "15/ct-ttg", "15 / CT-TTg"):
        assert find(typed) == ["number", "begun", "title", "text-new", "text-old"], typed
    assert find("15/CT")[:2] == ["number", "begun"]
    assert find("chỉ thị 15/CT-TTg") == ["number", "begun", "title", "text-new"]


@pytest.mark.parametrize("typed", ["hoà bình", "hòa bình", "HOA BINH", "hoa binh", "hòa bì"])
def test_marks_and_their_places_make_no_difference(
    find: Callable[..., list[str]], ledger: LedgerRows, typed: str
) -> None:
    publish(ledger, "title", title="Về tỉnh Hoà Bình")
    publish(ledger, "text", body="Tại Hòa Bình.")
    publish(ledger, "neither", body="Hoa.")
    assert find(typed) == ["title"] if typed == "hòa bì" else find(typed) == ["title", "text"]


def test_the_beginning_of_a_word_is_looked_for_when_the_word_is_nowhere(
    find: Callable[..., list[str]], ledger: LedgerRows
) -> None:
    publish(ledger, "d", body="Hội nghị kết nối; 政府電子ポータル.")
    assert find("hoi ngh") == ["d"]
    assert find("電") == ["d"]
    assert find("電子ポータル") == ["d"]
    assert find("khong co") == []
    assert find("… !") == []


def test_filters_narrow_by_body_type_field_language_and_days(
    find: Callable[..., list[str]], ledger: LedgerRows
) -> None:
    publish(ledger, "a", document_type="CT", field="Y tế", title="Phòng dịch")
    publish(ledger, "b", document_type="KH", field="Giáo dục", language="en", title="Phòng dịch")
    publish(ledger, "c", issued_on=DAY - timedelta(days=100), title="Phòng dịch")
    ledger.publish(directive("d", title="Phòng dịch", issued_on=DAY), "H26")
    publish(ledger, "e", title="Phòng dịch")
    publish(ledger, "e", title="Phòng dịch", version=2, action="WITHDRAW", withdrawal_reason="Nhầm.")
    for text in ("phong dich", ""):
        assert find(text, agency="H26") == ["H26/d"]
        assert find(text, kind="KH") == ["b"]
        assert find(text, field="Y tế") == ["a"]
        assert find(text, language="en") == ["b"]
        assert find(text, until=DAY - timedelta(days=1)) == ["c"]
        assert set(find(text, since=DAY, until=DAY)) == {"a", "b", "H26/d"}
        assert find(text, since=DAY + timedelta(days=1)) == []
        assert set(find(text, withdrawn=True)) == {"a", "b", "c", "H26/d", "e"}
        assert find(text, agency="' | '~a", kind="\\'") == []


def test_pages_follow_each_other_without_a_gap_up_to_the_two_hundredth(
    find: Callable[..., list[str]], ledger: LedgerRows
) -> None:
    for number in range(45):
        publish(ledger, f"d-{number:02}", body="kết nối", issued_on=DAY - timedelta(days=number))
    whole = find("ket noi", limit=200)
    assert whole == [f"d-{number:02}" for number in range(45)]
    assert [key for skip in (0, 20, 40) for key in find("ket noi", skip=skip)] == whole


class Fixed(Layouts):
    """A layout that was not looked up."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout

    async def of(self, connection: Connection, shelf: Shelf) -> Layout:
        """The one that was given."""
        return self._layout


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_looking_at_the_newest_first_changes_nothing_in_what_is_found(
    find: Callable[..., list[str]], ledger: LedgerRows, share: float
) -> None:
    for number in range(40):
        words = ["kết nối"] * (number % 2 == 0) + ["dữ liệu"] * (number % 3 == 0)
        day = DAY - timedelta(days=17 * number)
        publish(
            ledger, f"d-{number:02}", title=words[0] if number % 4 == 0 else "Khác", body=" ".join(words), issued_on=day
        )
    publish(ledger, "future", body="kết nối dữ liệu", issued_on=date(2199, 1, 1))
    frequent = dict.fromkeys(("ket", "noi", "du", "lieu"), share)
    newest = Fixed(Layout(Window(DAY - timedelta(days=90), DAY + timedelta(days=60)), frequent))
    for text in ("ket noi", "ket noi du lieu", "du lieu", ""):
        for days in ({}, {"since": DAY - timedelta(days=300)}, {"until": DAY - timedelta(days=50)}):
            for limit in (3, 200):
                parts = [key for key in find(text, layouts=newest, limit=limit, **days) if key != "future"]
                whole = [key for key in find(text, limit=limit, **days) if key != "future"]
                assert parts[: len(whole)] == whole or limit == 3, (text, days)
                assert parts[:2] == whole[:2]
    assert "future" in find("ket noi du lieu", layouts=newest, limit=200)


def test_public_answers_are_found_and_nothing_else_of_a_case(
    find: Callable[..., list[str]], ask: Any, ledger: LedgerRows
) -> None:
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A", content="Bí mật của tôi"))
    ledger.resolve(answer("H26-0001", answer="Đèn đường đã sửa.", public=True), "H26")
    ledger.receive(feedback("H26-0002", "7GQ2M0Z4KX9B"))
    ledger.resolve(answer("H26-0002", answer="Đèn đường đã sửa, xin giữ kín.", public=False), "H26")
    assert find("den duong", ANSWERS) == ["H26-0001"]
    assert find("den duong", ANSWERS, agency="H29") == []
    assert find("bi mat", ANSWERS) == []
    (row,) = ask(lambda connection: answers_of(connection, ["H26-0001", "H26-0002"]))
    assert (row.agency, row.answer) == ("H26", "Đèn đường đã sửa.")
    assert ask(lambda connection: public_answer(connection, row.event_id)) == row


def test_rows_come_in_the_order_of_their_keys_and_fields_once_each(ask: Any, ledger: LedgerRows) -> None:
    for name, field in (("a", "Y tế"), ("b", "Giáo dục"), ("c", "Y tế"), ("d", None)):
        publish(ledger, name, field=field)
    rows = ask(lambda connection: directives_of(connection, ["G22/c", "G22/nothing", "G22/a"]))
    assert [row.key for row in rows] == ["G22/c", "G22/a"]
    assert ask(known_fields) == ("Giáo dục", "Y tế")


def test_the_page_shows_directives_and_answers(central: CentralProcess, ledger: LedgerRows) -> None:
    publish(ledger, "a", title="Sửa đèn đường", field="Giao thông")
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    ledger.resolve(answer("H26-0001", answer="Đèn đường đã sửa <b>xong</b>.", public=True), "H26")
    page = httpx2.get(f"{central.address}/en/search?q=den+duong&field=Giao+th%C3%B4ng&type=CT&since=2026-01-01").text
    assert "Sửa <mark>đèn đường</mark>" in page
    assert "<mark>Đèn đường</mark> đã sửa &lt;b&gt;xong" in page
    assert "7GQ2" not in page
    link = page.split('href="/en/answers/')[1].split('"')[0]
    answered = httpx2.get(f"{central.address}/en/answers/{link}")
    assert "Đèn đường đã sửa &lt;b&gt;xong&lt;/b&gt;." in answered.text
    assert "7GQ2" not in answered.text
    assert "H26-0001" not in answered.text
    for odd in ("0", "00000000-0000-0000-0000-000000000000"):
        assert httpx2.get(f"{central.address}/en/answers/{odd}").status_code == 404
    assert "No answer matches" in httpx2.get(f"{central.address}/en/search?answers=1&q=xyzzy").text


def test_a_program_finds_what_a_reader_finds(ledger: LedgerRows, central: CentralProcess) -> None:
    publish(ledger, "found", number="15/CT-TTg", title="Về kết nối <các> cổng", body="Kết nối trước ngày 31/12.")
    publish(ledger, "other", title="Công văn khác")
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    ledger.resolve(answer("H26-0001", answer="Đã kết nối lại điện."), "H26")

    def asked(**given: Any) -> Any:
        found = httpx2.get(f"{central.address}/api/v1/search", params=given)
        assert found.status_code == 200, found.text
        return found.json()

    for words in ("15/CT-TTg", "ket noi cong", "kết nối cổng"):
        (one,) = asked(q=words)["directives"]
        assert one["directive"]["key"] == "G22/found"
    assert one["title"] == "Về <mark>kết nối</mark> &lt;các&gt; cổng"
    assert "<mark>Kết nối</mark>" in asked(q="ket noi")["directives"][0]["excerpt"]
    (told,) = asked(q="ket noi", among="answers")["answers"]
    assert (told["agency"], told["outcome"]) == ("H26", "ANSWERED")
    assert "H26-0001" not in str(told)
    assert asked(q="ket noi", agency="H26")["directives"] == []
    assert [asked(q="cong", limit=1, skip=skip)["more"] for skip in (0, 1)] == [True, False]
    assert httpx2.get(f"{central.address}/api/v1/search", params={"since": "soon"}).status_code == 422


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=VIETNAMESE)
def test_the_database_folds_vietnamese_as_we_do(ledger: LedgerRows, ledger_url: str, text: str) -> None:
    with psycopg.connect(ledger_url) as connection:
        row = connection.execute("select search.fold(%s)", (text,)).fetchone()
    assert row == (fold(text),)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=EVERY_SCRIPT)
def test_the_database_cuts_what_has_no_spaces_as_we_do(ledger: LedgerRows, ledger_url: str, text: str) -> None:
    with psycopg.connect(ledger_url) as connection:
        query = "select search.answer_words(%(text)s, null) = strip(to_tsvector('simple', %(folded)s))"
        row = connection.execute(query, {"text": text, "folded": fold(text)}).fetchone()
    assert row == (True,), fold(text)


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("您反映的路灯已修好，感谢您的意见。", "路灯"),
        ("您反映的路灯已修好，感谢您的意见。", "路灯已修好"),
        ("您反映的路灯已修好，感谢您的意见。", "修好 灯"),
        ("街路灯の修理（二〇二六年）が終わりました。", "二〇二六年"),
        ("가로등을 수리했습니다.", "가로등"),
    ],
)
def test_a_public_answer_is_found_in_any_of_its_scripts(
    find: Callable[..., list[str]], ledger: LedgerRows, said: str, typed: str
) -> None:
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    ledger.resolve(answer("H26-0001", answer=said, language="zh"), "H26")
    assert find(typed, ANSWERS) == ["H26-0001"]
    assert find("修路 " + typed, ANSWERS) == []


def test_marks_and_numbers_are_found_through_their_indexes(ledger: LedgerRows, ledger_url: str) -> None:
    publish(ledger, "a", number="15/CT-TTg")
    with psycopg.connect(ledger_url) as connection:
        connection.execute("set enable_seqscan = off")
        for condition in (
            f"search @@ 'x'::tsquery and {DIRECTIVES.marks} @@ 'y'::tsquery",
            f"{DIRECTIVES.number} like '15 ct%'",
        ):
            plan = str(connection.execute(f"explain select from ledger.directive where {condition}").fetchall())
            assert "directive_search" in plan or "directive_number" in plan, plan
        found = connection.execute(
            f"explain select from {ANSWERS.table} where {ANSWERS.always} and {ANSWERS.text} @@ 'x'::tsquery"
            f" and {ANSWERS.marks} @@ 'y'::tsquery"
        )
        assert "case_answer" in str(found.fetchall())
