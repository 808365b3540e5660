"""What leads to a person is taken out of a text, places and numbers of documents are not, and no text takes long."""

from __future__ import annotations

import time

import pytest

from portalbus.connectors.pull.redaction import redacted
from portalbus.connectors.pull.web.html_text import plain

GONE = "[đã lược]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Gọi 0912345678 nhé", f"Gọi {GONE} nhé"),
        ("Gọi 0912.345.678, 0912 345 678", f"Gọi {GONE}, {GONE}"),
        ("Số +84 912 345 678.", f"Số {GONE}."),
        ("Số 84912345678.", f"Số {GONE}."),
        ("Thư: a.b+c@mail.hanoi.gov.vn.", f"Thư: {GONE}."),
        ("CCCD 001099012345 của tôi", f"CCCD {GONE} của tôi"),
        ("Họ và tên: Trần Thị Bê", f"Họ và tên: {GONE}"),
        ("  Địa chỉ liên hệ : số 5", f"  Địa chỉ liên hệ : {GONE}"),
        ("Tôi là Trần Thị Bê, trú tại đây", f"Tôi là {GONE}, trú tại đây"),
        ("Đèn của TRẦN THỊ BÊ", f"Đèn của {GONE}"),
    ],
)
def test_what_leads_to_a_person_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text, ["Trần Thị Bê"]) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Tôi là người dân tổ 5",
        "Công văn 1234/UBND-VP ngày 20/11/2026",
        "Chi phí 1.500.000.000 đồng",
        "Gọi tổng đài 1022 hoặc 19001234",
        "Đèn trước số nhà 15 ngõ 7 không sáng",
        "Hồ sơ H26-2026-000123",
        "Họ tên tôi đã ghi trong đơn",
    ],
)
def test_places_documents_and_sums_stay(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "evil",
    ["0 " * 100_000, "a@" * 100_000, "tôi là " * 50_000, "Họ và tên" * 20_000, "0912" * 50_000, "a." * 100_000 + "@"],
    ids=lambda evil: evil[:8],
)
def test_no_text_takes_long_to_redact(evil: str) -> None:
    begun = time.process_time()
    redacted(evil)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "evil",
    [
        "<div>" * 100_000,
        "<a" * 250_000,
        "<!--" * 100_000,
        "<script>" * 60_000,
        '<a href="' * 60_000,
        "<a '" * 100_000,
        "<b>x</b><a " + '"' * 100_000,
        "<b>x</b><a " + "'" * 100_000,
        "<b>x</b><a " + "\"'" * 50_000,
        "<b>x</b><a " + '"x' * 50_000,
    ],
    ids=lambda evil: f"{evil[:8]}…{evil[-4:]}",
)
@pytest.mark.timeout(20)
def test_no_page_takes_long_to_become_text(evil: str) -> None:
    begun = time.process_time()
    plain(evil)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "broken", ['<a title="x>xem "kỹ" nhé</a>', "<a title='x>xem 'kỹ' nhé</a>", '<a title="x>xem nhé</a>']
)
def test_a_tag_with_a_quote_too_many_ends_where_it_first_can(broken: str) -> None:
    assert plain(f"<p>Đèn</p>{broken}") in ('Đèn\nxem "kỹ" nhé', "Đèn\nxem 'kỹ' nhé", "Đèn\nxem nhé")


def test_text_of_a_page_has_a_line_for_each_block_and_nothing_that_is_not_shown() -> None:
    page = (
        "<head><title>x</title></head><p>Đèn <b>hỏng</b></p><!-- ẩn <p>ẩn</p> --><script>if (a<b) c('</p>')</script>"
        '<ul><li>một<li>hai</ul>1 < 2 &amp; 3 > 2<br><a title="a>b" href=x>xem</a><style>p{}</style>'
    )
    assert plain(page) == "Đèn hỏng\nmột\nhai\n1 < 2 & 3 > 2\nxem"
