"""The small parts of the central portal: languages, formats, cursors, codes, names, steps of a case, visitor limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalbus.connectors.central import formats
from portalbus.connectors.central.agency_names import AgencyNames
from portalbus.connectors.central.case_steps import case_steps, days_left, typed_code
from portalbus.connectors.central.document_types import document_type_name
from portalbus.connectors.central.settings import Settings
from portalbus.connectors.central.wording import all_words
from portalbus.connectors.web import rate_limit
from portalbus.connectors.web.accept_language import preferred
from portalbus.connectors.web.rate_limit import RateLimit, asker_of
from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.reading.answer_due import AnswerDue, DueState
from portalbus.streams.reading.cases import CaseHistory, CaseRow, StepRow, as_shown
from portalbus.streams.reading.directives import Cursor

TODAY = date(2026, 11, 22)
NAMES = AgencyNames(AgencyDirectory.read())


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "vi"),
        ("fr,de", "vi"),
        ("en-GB,en;q=0.9,vi;q=0.8", "en"),
        ("zh-Hant-TW", "zh"),
        ("en;q=0.2, zh;q=0.7", "zh"),
        ("fr, *;q=0.5", "vi"),
        ("en;q=0", "vi"),
        ("en;q=nonsense", "vi"),
        (", ;;;q=1,," * 1000, "vi"),
    ],
)
def test_the_visitors_language_is_read_from_the_header(header: str, language: str) -> None:
    assert preferred(header) == language


def test_dates_numbers_and_sizes_are_written_as_each_language_writes_them() -> None:
    at = datetime(2026, 11, 22, 19, 5, tzinfo=UTC)
    assert [formats.instant(at, language) for language in ("vi", "en", "zh")] == [
        "02:05, 23/11/2026",
        "23 November 2026, 02:05",
        "2026年11月23日 02:05",
    ]
    assert [formats.number(1234567, language) for language in ("vi", "en")] == ["1.234.567", "1,234,567"]
    assert formats.size(1_482_113, "vi") == "1,5\u00a0MB"
    assert formats.size(999, "en") == "999\u00a0B"
    assert formats.size(2**40, "en") == "1.1\u00a0TB"
    assert formats.public_code("7GQ2M0Z4KX9A") == "7GQ2-M0Z4-KX9A"


@given(
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)),
    st.from_regex(r"[A-Y][0-9]{2}/[A-Za-z0-9][A-Za-z0-9._~-]{0,30}", fullmatch=True),
)
def test_a_cursor_reads_back_as_it_was_written(instant: datetime, key: str) -> None:
    cursor = Cursor(instant.replace(tzinfo=UTC), key)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1-", "-1", "1-x", "-1--1", "9" * 40 + "-H26/d-1", "٣-H26/d-1", "1-H26/\x00"]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.parse(text)


@pytest.mark.parametrize("typed", ["7gq2-m0z4-kx9a", " 7GQ2 MOZ4 KX9A ", "7GQ2–m0z4–kx9a"])
def test_a_public_code_is_read_as_people_type_it(typed: str) -> None:
    assert typed_code(typed) == "7GQ2M0Z4KX9A"


def test_all_current_agencies_have_names_in_three_languages() -> None:
    current = NAMES.current(TODAY)
    assert len(current) == 70
    assert not [name.code for name in current if name.zh.isascii()]
    assert NAMES.name("H26", TODAY).zh == "河内市人民委员会"
    assert NAMES.name("H26.12", TODAY).en == "People's Committee of Hanoi City (H26.12)"


def test_an_agency_that_was_merged_keeps_its_name_and_names_its_heirs() -> None:
    name = NAMES.name("G14", TODAY)
    assert (name.vi, name.current) == ("Bộ Thông tin và Truyền thông", False)
    assert "G06" in {heir.code for heir in NAMES.heirs("G14", TODAY)}
    assert NAMES.name("X99", TODAY).vi == "X99"
    assert not NAMES.known("X99")


def test_document_types_have_names() -> None:
    assert [document_type_name("CT", language) for language in ("vi", "en", "zh")] == ["Chỉ thị", "Directive", "指示"]
    assert document_type_name("NEW", "en") == "NEW"


def case(**values: object) -> CaseRow:
    """A case of H26 with the given values."""
    given: dict[str, object] = dict.fromkeys(CaseRow.__dataclass_fields__)
    given |= {"case_id": "H26-1", "receiver": "H26", "owner": "H26", "channel": "WEB", "state": "RECEIVED"}
    given |= {"received_at": datetime(2026, 11, 19, tzinfo=UTC)}
    return CaseRow(**{**given, **values})  # type: ignore[arg-type]


def step(event_type: str, **values: Any) -> StepRow:
    """A step that H26 said, unless `values` say otherwise."""
    at = datetime(2026, 11, 20, tzinfo=UTC)
    return replace(StepRow(event_type, "H26", at, at, 1), **values)


def told(history: CaseHistory, language: str) -> list[str]:
    """The sentences of a case."""
    history = replace(history, steps=as_shown(history.case, history.steps))

    def name(code: str) -> str:
        return NAMES.name(code, TODAY).in_language(language)

    return [f"{one.title}: {one.text}" for one in case_steps(history, all_words()[language], name)]


def test_the_steps_of_an_open_case_say_who_received_it_and_who_has_it() -> None:
    history = CaseHistory(case(receiver="G22", owner="G09"), (step("FeedbackReceived"),))
    assert told(history, "en") == [
        "Received: Government Office received the feedback, sent through a website. "
        "Ministry of Home Affairs is responsible for handling it."
    ]
    assert told(history, "zh") == ["受理: 政府办公厅已受理该意见，提交方式：通过网站。该意见由内务部负责办理。"]


def test_the_steps_of_a_refused_case_say_so_plainly() -> None:
    refused = case(
        state="RESOLVED", outcome="REJECTED", answered_by="H26", answered_at=datetime(2026, 11, 21, tzinfo=UTC)
    )
    history = CaseHistory(refused, (step("FeedbackReceived"), step("FeedbackResolved")))
    assert told(history, "vi")[1] == "Từ chối: UBND thành phố Hà Nội đã từ chối xử lý và nêu rõ lý do."


ANSWERED = step("FeedbackResolved", outcome="ANSWERED")
REOPENED = step("FeedbackProgressed", step="REOPENED")
RETURNED = step("FeedbackProgressed", step="ANSWER_RETURNED", agency="G22")
PUBLISHED = step("FeedbackProgressed", step="PUBLISHED", agency="G22")
REFUSED = step("FeedbackResolved", outcome="REJECTED")


@pytest.mark.parametrize(
    ("between", "first", "said"),
    [
        ([REOPENED], ANSWERED, "Answered: People's Committee of Hanoi City answered the feedback."),
        ([RETURNED], ANSWERED, None),
        ([REOPENED], replace(ANSWERED, was_reviewed=False), None),
        ([PUBLISHED, REOPENED], replace(ANSWERED, was_reviewed=False), "Answered: People's Committee of Hanoi City"),
        ([REOPENED], replace(ANSWERED, outcome=None), None),
    ],
)
def test_the_answer_before_a_refusal_is_told_as_what_it_was_if_it_was_shown(
    between: list[StepRow], first: StepRow, said: str | None
) -> None:
    found = told(CaseHistory(case(state="RESOLVED", outcome="REJECTED"), (first, *between, REFUSED)), "en")
    assert found[-1] == "Refused: People's Committee of Hanoi City refused the feedback and stated its reason."
    assert found[0].startswith(
        said or "Answered: People's Committee of Hanoi City has answered. The central portal may"
    )


@pytest.mark.parametrize(("due_on", "days"), [(date(2026, 11, 23), 1), (TODAY, 0), (date(2026, 11, 20), -2)])
def test_the_days_that_are_left_for_an_answer_are_days_after_today(due_on: date, days: int) -> None:
    assert days_left(AnswerDue("H26", DueState.OPEN, due_on, "R5.answer", None), TODAY) == days


def test_a_step_of_a_newer_contract_is_still_told() -> None:
    history = CaseHistory(case(outcome="NEW_ONE"), (step("FeedbackProgressed"), step("FeedbackResolved")))
    assert told(history, "en") == ["Update: People's Committee of Hanoi City recorded a step."] * 2


def test_a_visitor_may_ask_so_often_and_no_more() -> None:
    now = [0.0]
    limit = RateLimit(0.5, 30, clock=lambda: now[0])
    assert [limit.seconds_to_wait("10.0.0.1") for _ in range(30)] == [0] * 30
    assert limit.seconds_to_wait("10.0.0.1") == 2
    assert limit.seconds_to_wait("10.0.0.2") == 0
    now[0] += 2
    assert limit.seconds_to_wait("10.0.0.1") == 0
    assert limit.seconds_to_wait("10.0.0.1") == 2


def test_who_has_a_network_of_ipv6_addresses_is_one_visitor() -> None:
    limit = RateLimit(0.5, 30, clock=lambda: 0.0)
    waits = [limit.seconds_to_wait(asker_of(f"2001:db8:1:2::{number:x}")) for number in range(31)]
    assert waits == [0] * 30 + [2]
    assert limit.seconds_to_wait(asker_of("2001:db8:1:3::1")) == 0
    assert asker_of("::ffff:10.0.0.1") == asker_of("10.0.0.1") == "10.0.0.1"
    assert asker_of("testclient") == "testclient"


def test_whoever_has_used_up_a_limit_is_not_forgotten_because_thousands_of_others_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "MAX_ASKERS", 100)
    now = [0.0]
    limit = RateLimit(0.5, 2, clock=lambda: now[0])
    assert [limit.seconds_to_wait("guesser") for _ in range(3)] == [0, 0, 2]
    for number in range(5_000):
        limit.seconds_to_wait(f"2001:db8::{number:x}")
    assert limit.seconds_to_wait("guesser") == 2
    now[0] += 10
    assert [limit.seconds_to_wait(f"newcomer {number}") for number in range(99)] == [0] * 99, "there is room again"


def test_the_settings_do_not_show_the_password() -> None:
    assert "secret" not in repr(Settings("postgresql://user:secret@127.0.0.1/x"))


def test_how_long_ago_is_said_in_the_largest_whole_unit() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    ages = [timedelta(seconds=-5), timedelta(seconds=59), timedelta(minutes=59), timedelta(hours=23), timedelta(days=3)]
    assert [formats.ago(now - age, now)[0] for age in ages] == ["moment", "moment", "minutes", "hours", "days"]
