"""Texts that say nearly the same: found among many others, in bounded memory, and told when they are many."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

from portalbus.streams.warning.grouping import Groups
from portalbus.streams.warning.likeness import Kind, LikenessWatch
from portalbus.streams.warning.reading import Received, Refused
from portalbus.streams.warning.series import Series
from portalbus.streams.warning.sketching import likeness, sketches
from portalbus.streams.warning.watch import Change
from said_alike import Writing, planted, score

NOW = datetime(2026, 4, 6, 3, tzinfo=UTC)
TEXT = "Đề nghị sửa đường Hoà Bình ngập nước nhiều ngày, người dân đi lại khó khăn và nguy hiểm."


def test_marks_capitals_and_the_two_ways_to_write_hoa_make_no_difference() -> None:
    forms = [TEXT, TEXT.upper(), unicodedata.normalize("NFD", TEXT), TEXT.replace("Hoà", "Hòa"), f"  {TEXT}!!"]
    first, *others = sketches(forms)
    assert first is not None
    assert all(other is not None and likeness(first, other) == 1 for other in others)


def test_a_text_of_few_words_is_compared_with_nothing_and_one_without_latin_letters_is() -> None:
    short, chinese, again = sketches(
        ["Không có ý kiến", "关于道路积水问题的意见请尽快处理", "关于道路积水问题的意见请尽快处理!"]
    )
    assert short is None
    assert chinese is not None
    assert chinese == again


def test_copies_and_paraphrases_are_found_and_nothing_else() -> None:
    found = score(planted(Writing(5), 3_000, 200))
    print(found)
    assert found["copies"].recall >= 0.97
    assert found["paraphrases"].recall >= 0.85
    assert min(one.precision for one in found.values()) >= 0.99


def test_the_oldest_make_room_and_memory_does_not_grow() -> None:
    writing, groups = Writing(6), Groups(1 << 8)
    first = writing.text()
    texts = [first, *(writing.text() for _ in range(300)), first]
    for number, sketch in enumerate(sketches(texts)):
        assert sketch is not None
        assert groups.add(sketch, str(number), "01", NOW) is None, "the first one is forgotten by now"
    assert len(groups) == 256
    (again,) = sketches([first])
    assert again is not None
    group = groups.add(again, "again", "79", NOW)
    assert group is not None
    assert (group.first, group.size) == ("301", 2)


def test_many_who_say_the_same_are_told_once_again_when_they_double_and_when_it_is_over() -> None:
    writing, watch = Writing(8), LikenessWatch(capacity=1 << 10)
    text = writing.text()

    def say(count: int, at: datetime) -> list[Change]:
        watch.received([Received(f"{at:%d}{n:010}", at, Series("", "01"), writing.copy(text)) for n in range(count)])
        return [one.change for one in watch.look(at)]

    assert say(9, NOW) == []
    assert say(1, NOW) == [Change.BEGINS]
    assert say(5, NOW) == []
    assert say(5, NOW) == [Change.GROWS]
    assert say(0, NOW + timedelta(days=4)) == [Change.ENDS]


def test_refusals_in_the_same_words_are_told_of_one_agency_and_not_of_two() -> None:
    watch, words = (
        LikenessWatch(),
        "Nội dung phản ánh không thuộc thẩm quyền giải quyết của cơ quan chúng tôi theo quy định.",
    )
    watch.refused([Refused(f"{agency}-{n:04}", agency, NOW, words) for n in range(4) for agency in ("H18", "G09")])
    assert watch.look(NOW) == []
    watch.refused([Refused("H18-0009", "H18", NOW, words.upper())])
    (told,) = watch.look(NOW)
    assert (told.change, told.kind, told.about, told.observed) == (Change.BEGINS, Kind.REFUSAL, "H18", 5)
    assert "H18-0009" in told.examples


def test_a_feedback_received_before_1970_is_grouped_like_any_other() -> None:
    watch, long_ago = LikenessWatch(capacity=1 << 4), datetime(1945, 9, 2, tzinfo=UTC)
    watch.received([Received(f"{number:012}", long_ago, Series("", "01"), TEXT) for number in range(10)])
    (told,) = watch.look(long_ago)
    assert (told.first, told.since) == ("000000000000", long_ago)


def test_the_longest_case_id_of_a_refusal_is_told_in_full() -> None:
    watch, names = LikenessWatch(), [f"H18-{'x' * 95}{number}" for number in range(5)]
    watch.refused([Refused(name, "H18", NOW, TEXT) for name in names])
    (told,) = watch.look(NOW)
    assert (told.first, told.examples) == (names[0], tuple(names))
