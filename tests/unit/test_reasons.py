"""What counts as a reason, as a legal basis, and as saying that somebody else is competent."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.limits import Limited, Limits
from portalbus.schemas.reasons import (
    names_a_court,
    names_a_text_of_law,
    names_only_laws,
    says_not_competent,
    says_something,
)

DAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Nội dung chưa nêu rõ địa điểm và thời gian.", True),
        ("Đoạn đường này đã được sửa ngày 12/10/2026, ảnh kèm theo.", True),
        ("The lamp belongs to a private building, whose owner was told.", True),
        ("该路灯属于私人小区，已通知物业公司处理。", True),
        ("Theo quy định của pháp luật.", False),
        ("Căn cứ các quy định hiện hành, không có cơ sở để xem xét, giải quyết.", False),
        ("Không thuộc thẩm quyền giải quyết theo quy định của pháp luật.", False),
        ("According to current regulations, your request cannot be considered.", False),
        ("根据有关法律规定，不予受理。", False),
        ("abcdefghabcdefghabcdefgh", False),
        ("xin lỗi công dân xin lỗi công dân xin lỗi công dân", False),
        ("Trùng với phản ánh khác", False),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", False),
    ],
)
def test_a_reason_says_something_that_cannot_be_said_of_every_case(text: str, says: bool) -> None:
    assert says_something(text) is says


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Nghị định 20/2008/NĐ-CP", True),
        ("Quyết định 574/QĐ-TTg năm 2017", True),
        ("Điều 28 Luật Tiếp công dân", True),
        ("Law 42/2013, Art. 28", True),
        ("Bộ luật Tố tụng dân sự 2015", True),
        ("Quy chế tiếp nhận, xử lý phản ánh, kiến nghị của cơ quan", True),
        ("信访工作条例第十七条", True),
        ("x", False),
        ("Theo quy định của pháp luật hiện hành", False),
        ("Luật", False),
        ("according to the rules", False),
        ("123", False),
    ],
)
def test_a_legal_basis_names_a_text(text: str, names: bool) -> None:
    assert names_a_text_of_law(text) is names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Việc này không thuộc thẩm quyền của Sở.", True),
        ("Nội dung ngoài phạm vi thẩm quyền của cơ quan.", True),
        ("The licence is outside our jurisdiction.", True),
        ("该事项不属于本部门管辖。", True),
        ("Cơ quan có thẩm quyền đã trả lời ngày 12/10/2026.", False),
        ("We are competent, and the lamp is repaired.", False),
    ],
)
def test_words_that_say_that_somebody_else_is_competent(text: str, says: bool) -> None:
    assert says_not_competent(text) is says


def test_a_court_is_heard_in_three_languages() -> None:
    assert all(names_a_court(text) for text in ("Tòa án đã thụ lý", "before the court", "已由法院受理"))
    assert not names_a_court("Tòa nhà số 5")


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("", True),
        ("Luật Tố cáo số 25/2018/QH14", True),
        ("Điều 12 Luật Khiếu nại 2011", True),
        ("Law on Denunciation 25/2018/QH14", True),
        ("Luật Tố cáo, đơn của ông Nguyễn Văn A", False),
    ],
)
def test_beside_a_diversion_stands_the_law_and_no_person(text: str, only: bool) -> None:
    assert names_only_laws(text) is only


def test_a_limit_of_the_installation_takes_the_place_of_the_one_shipped(tmp_path: Path) -> None:
    own = tmp_path / "limits.toml"
    own.write_text('[[limit]]\nid = "own"\nname = "reason-characters"\nvalue = 40\nvalid_from = 2026-11-23\n')
    limits = Limits.read(own)
    assert [limits.of(Limited.REASON_CHARACTERS, day) for day in (date(2026, 11, 22), DAY)] == [20, 40]
    assert Limits.parse(limits.told).of(Limited.REASON_CHARACTERS, DAY) == 40
    for name, value, told in (("patience", 1, "patience"), ("transfers", 0, "less than one")):
        own.write_text(f'[[limit]]\nid = "own"\nname = "{name}"\nvalue = {value}\nvalid_from = 2026-11-23\n')
        with pytest.raises(ValueError, match=told):
            Limits.read(own)


def test_the_provinces_of_the_installation_take_the_place_of_those_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "provinces.csv"
    own.write_text("nso_code,agency_code\n01,H99\n", encoding="utf-8")
    monkeypatch.setenv("PORTALBUS_PROVINCES", str(own))
    rules = Competence.read()
    assert (rules.provinces["01"], rules.provinces["04"]) == ("H99", "H14")
    assert Competence.parse(rules.text).version == rules.version != _shipped(monkeypatch).version
    own.write_text("code,agency\n01,H99\n", encoding="utf-8")
    monkeypatch.setenv("PORTALBUS_PROVINCES", str(own))
    with pytest.raises(ValueError, match=r"provinces\.csv"):
        Competence.read()


def _shipped(monkeypatch: pytest.MonkeyPatch) -> Competence:
    monkeypatch.delenv("PORTALBUS_PROVINCES")
    return Competence.read()
