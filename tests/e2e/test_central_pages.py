"""The central portal in a real browser: three languages, live, open to all, nothing from elsewhere, exact text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import Page, expect

from barriers import barriers, fits
from central_process import CentralProcess
from ledger_rows import (
    ARTICLE_NAMES,
    TITLES,
    LedgerRows,
    answer,
    article,
    article_text,
    attachment,
    directive,
    feedback,
)
from office_ledger import owe_answers
from shown_pages import CENTRAL, LOOKS
from watched_tab import Watched

pytestmark = pytest.mark.browser

LANGUAGES = ("vi", "en", "zh")

Tab = Callable[..., Watched]
Picture = Callable[[Page, str, str, str], None]


@pytest.fixture
def filled(ledger: LedgerRows) -> LedgerRows:
    """A ledger with something of everything."""
    ledger.publish(
        directive("kh-204", number="204/KH-UBND", document_type="KH", title="Kế hoạch kết nối dữ liệu"), "H26"
    )
    relations = [{"kind": "REPLACES", "target": "110/CĐ-TTg"}, {"kind": "AMENDS", "target": "article-vi"}]
    rich: dict[str, Any] = {
        "number": "118/CĐ-TTg",
        "document_type": "CD",
        "urgency": "HOA_TOC",
        "title": "Công điện về chủ động ứng phó mưa lũ tại các tỉnh miền Trung",
        "abstract": "Tập trung ứng phó mưa lũ, bảo đảm an toàn tính mạng người dân.",
        "attachments": [attachment("118-CD-TTg.signed.pdf"), attachment("phu-luc.pdf", 35_211)],
        "relations": relations,
        "recipients": ["H50", "H57"],
        "effective_on": "2026-11-20",
        "field": "Phòng chống thiên tai",
        "signer": "Phó Thủ tướng",
    }
    ledger.publish(directive("cd-118", **rich))
    html = '<h1>Thông báo</h1><p onclick="x()">Tạm <b>ngừng</b> <a href="https://example.gov.vn/">từ 22 giờ</a></p>'
    hostile = '<script>document.title="x"</script><img src="https://example.org/x.png" alt="Sơ đồ" onerror="x()">'
    ledger.publish(directive("tb-77", document_type="TB", body_format="HTML", body=html + hostile), "H29")
    ledger.publish(directive("hd-9", document_type="HD", number="9/HD-BTP", body="Bản một.\n"), "G15")
    ledger.publish(directive("hd-9", document_type="HD", version=2, action="REVISE", body="Bản hai.\n"), "G15")
    withdrawal = {"action": "WITHDRAW", "withdrawal_reason": "Ban hành nhầm thẩm quyền.", "document_type": "HD"}
    ledger.publish(directive("hd-9", version=3, **withdrawal), "G15")
    for name in ARTICLE_NAMES:
        ledger.publish(article(name))
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    ledger.resolve(answer("H26-0001"), "H26")
    ledger.receive(feedback("H29-0002", "2222222222ZZ", channel="APP", urgency="URGENT"))
    ledger.receive(feedback("G22-0003", "3333333333ZZ", addressed_to="G09"))
    refusal = {"outcome": "REJECTED", "reason_code": "UNCLEAR_CONTENT", "answer": None}
    reason = {"reason_text": "Chưa nêu rõ quy định nào gây vướng mắc.", "legal_basis": "Nghị định 20/2008/NĐ-CP"}
    ledger.resolve(answer("G22-0003", **refusal, **reason), "G09")
    ledger.receive(feedback("H26-0004", "4444444444ZZ", regime="R2"))
    ledger.owe("H26-0004", "H26", date(2026, 11, 18), "MISSED")
    ledger.receive(feedback("H26-0005", "5555555555ZZ", regime="R2"))
    ledger.owe("H26-0005", "H26", None, "PAUSED")
    ledger.owe("H29-0002", "H29", date.today() + timedelta(days=5), "OPEN")
    ledger.refuse("H26")
    ledger.wait("H57", "H57-0009")
    ledger.park("H17")
    owe_answers(ledger.database_url, "H26", {-3: ["MET", "LATE", "MISSED"], 2: ["OPEN"]})
    return ledger


@pytest.fixture
def paths(filled: LedgerRows) -> dict[str, str]:
    """Every page of the portal by its name."""
    with psycopg.connect(filled.database_url) as look:
        row = look.execute(
            "select event_id from ledger.event where event_type = 'FeedbackResolved' and key = 'H26-0001'"
        ).fetchone()
    assert row is not None
    return {name: path.format(answer=row[0]) for name, path in CENTRAL.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_renders_and_axe_finds_no_barrier(
    central: CentralProcess, paths: dict[str, str], new_tab: Tab, language: str
) -> None:
    tab = new_tab(central.address)
    for name, path in paths.items():
        page = tab.open(f"/{language}{path}")
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("h1").count() == 1, name
        assert page.locator("main").inner_text().strip(), name
        assert barriers(page) == [], name


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_and_reads_well_on_any_screen(
    central: CentralProcess, paths: dict[str, str], new_tab: Tab, take_picture: Picture, look: str
) -> None:
    tab = new_tab(central.address, **LOOKS[look])
    for name, path in paths.items():
        page = tab.open(f"/vi{path}")
        assert fits(page), name
        assert look != "dark" or barriers(page) == [], name
        take_picture(page, "central", name, look)


@pytest.mark.parametrize("name", ARTICLE_NAMES)
def test_an_article_appears_character_for_character(
    central: CentralProcess, filled: LedgerRows, new_tab: Tab, name: str
) -> None:
    page = new_tab(central.address).open(f"/vi/directives/G22/article-{name}")
    body = page.locator("#body")
    assert body.evaluate("element => element.textContent") == article_text(name)
    assert body.evaluate("element => getComputedStyle(element).whiteSpace").startswith("pre-wrap")
    assert body.get_attribute("lang") == name.split("-")[0]
    # What a reader would copy out of the page, blank lines and all; a selection ends without the last line feed.
    copied = body.evaluate("element => element.innerText")
    assert copied.rstrip("\n") == article_text(name).rstrip("\n")


def test_odd_text_appears_character_for_character(central: CentralProcess, ledger: LedgerRows, new_tab: Tab) -> None:
    odd = "\n\n  đầu\tdòng  \r\n<b>&amp; \"'</b>\r cuối\u00a0\u200b {{ 7*7 }} </div>\n\n\n"
    ledger.publish(directive("odd", body=odd))
    page = new_tab(central.address).open("/en/directives/G22/odd")
    assert page.locator("#body").evaluate("element => element.textContent") == odd


@pytest.mark.parametrize(
    ("typed", "names", "mark"),
    [
        ("ket noi", {"vi", "ja-vi"}, "kết nối"),
        ("kết nối", {"vi", "ja-vi"}, "kết nối"),
        ("電子ポータル", {"ja-vi"}, "電子ポータル"),
    ],
)
def test_search_finds_the_articles_and_marks_the_words(
    central: CentralProcess, filled: LedgerRows, new_tab: Tab, typed: str, names: set[str], mark: str
) -> None:
    page = new_tab(central.address).open("/vi/")
    page.locator("#q").fill(typed)
    page.locator("#q").press("Enter")
    page.wait_for_url(f"**/vi/search?q={quote(typed, safe='').replace('%20', '+')}")
    titles = set(page.locator(".card h3").all_inner_texts())
    assert {TITLES[name] for name in names} <= titles
    assert not {TITLES[name] for name in set(ARTICLE_NAMES) - names} & titles
    assert mark in {text.lower() for text in page.locator("mark").all_inner_texts()}


def test_a_directive_appears_without_reloading(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    tab = new_tab(central.address)
    page = tab.open("/vi/")
    expect(page.locator("#live-text")).to_have_text("Cập nhật trực tiếp")
    page.evaluate("window.neverReloaded = true")
    shown = page.locator(".card").count()
    filled.publish(directive("moi", title="Chỉ thị vừa ban hành"), "H26")
    first = page.locator(".card").first
    expect(first.locator("h3")).to_have_text("Chỉ thị vừa ban hành")
    expect(first.locator(".chip-new")).to_have_text("Mới")
    expect(page.locator("#announcement")).to_contain_text("Chỉ thị vừa ban hành")
    assert page.locator(".card").count() == shown + 1
    filled.publish(directive("moi", title="Chỉ thị vừa sửa đổi", version=2, action="REVISE"), "H26")
    expect(first.locator("h3")).to_have_text("Chỉ thị vừa sửa đổi")
    withdrawal = {"version": 3, "action": "WITHDRAW", "withdrawal_reason": "Ban hành nhầm."}
    filled.publish(directive("moi", title="Chỉ thị vừa sửa đổi", **withdrawal), "H26")
    expect(first.locator(".chip-stop")).to_have_text("Đã thu hồi")
    assert page.locator(".card").count() == shown + 1
    assert page.evaluate("window.neverReloaded")
    assert barriers(page) == []


def test_the_first_directive_ever_takes_the_place_of_the_empty_page(
    central: CentralProcess, ledger: LedgerRows, new_tab: Tab, take_picture: Picture
) -> None:
    page = new_tab(central.address).open("/en/")
    expect(page.locator("#latest-empty")).to_be_visible()
    expect(page.locator("#live-text")).to_have_text("Live")
    assert barriers(page) == []
    take_picture(page, "central", "front-empty", "light")
    ledger.publish(directive("first"))
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#latest-empty")).to_be_hidden()


def test_a_page_without_the_stream_asks_from_time_to_time(
    central: CentralProcess, filled: LedgerRows, new_tab: Tab
) -> None:
    tab = new_tab(central.address)
    tab.page.add_init_script("delete window.EventSource")
    tab.page.clock.install()
    page = tab.open("/en/")
    expect(page.locator("#live-text")).to_have_text("Updates periodically")
    filled.publish(directive("later", title="Found by asking"))
    page.clock.run_for(11_000)
    expect(page.locator(".card h3").first).to_have_text("Found by asking")


def test_a_withdrawn_directive_says_so_and_why(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/en/directives/G15/hd-9")
    banner = page.locator(".banner-stop")
    expect(banner).to_contain_text("The issuing agency has withdrawn this document")
    expect(banner).to_contain_text("Ban hành nhầm thẩm quyền.")
    assert page.locator("#body").evaluate("element => element.textContent") == "Bản hai.\n"
    page.get_by_role("link", name="Version 1").click()
    expect(page.locator("#body")).to_have_text("Bản một.")


def test_a_directive_shows_what_belongs_to_it(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/en/directives/G22/cd-118")
    files = page.locator(".files li")
    expect(files).to_have_count(2)
    expect(files.first).to_contain_text("1.5\u00a0MB")
    expect(files.first).to_contain_text("3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea")
    expect(page.get_by_role("link", name="article-vi")).to_have_attribute("href", "/en/directives/G22/article-vi")
    expect(page.locator(".original a")).to_have_attribute("href", "https://cong.example.gov.vn/van-ban/cd-118")
    expect(page.locator(".metadata")).to_contain_text("Phó Thủ tướng")


def test_html_of_a_portal_can_neither_run_nor_fetch(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/vi/directives/H29/tb-77")
    assert page.title() != "x"
    assert page.locator("#body script, #body img, #body [onclick]").count() == 0
    expect(page.locator("#body h3")).to_have_text("Thông báo")
    expect(page.locator("#body a")).to_have_attribute("rel", "noopener nofollow")
    expect(page.locator(".image-text")).to_have_text("Sơ đồ")


def test_a_citizen_finds_the_way_with_a_code(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/vi/")
    page.get_by_label("Mã tra cứu").fill("7gq2-moz4-kx9a")
    page.get_by_role("button", name="Tra cứu").click()
    page.wait_for_url("**/vi/feedback/7GQ2M0Z4KX9A")
    steps = page.locator(".steps li")
    expect(steps).to_have_count(3)
    expect(steps.nth(0)).to_contain_text(
        "UBND thành phố Hà Nội đã tiếp nhận phản ánh, gửi qua trang thông tin điện tử."
    )
    expect(steps.nth(1)).to_contain_text("Đã trả lời")
    answered = "Hồ sơ đã được giải quyết ngày 20/11/2026.\n\nKết quả được trả tại bộ phận một cửa."
    assert page.locator(".panel .text").first.evaluate("element => element.textContent") == answered
    assert "quá hạn" not in page.locator("body").inner_text()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/en/feedback/0000", "We do not know this code"),
        ("/zh/nothing", "找不到页面"),
        ("/vi/directives/G22/nothing", "Không tìm thấy trang"),
        ("/vi/agencies/Z99", "Không tìm thấy trang"),
    ],
)
def test_a_wrong_address_is_answered_with_help(
    central: CentralProcess, filled: LedgerRows, new_tab: Tab, path: str, text: str
) -> None:
    tab = new_tab(central.address)
    page = tab.open(path)
    expect(page.locator("h1")).to_have_text(text)
    assert page.locator("main a, main form").count() > 0
    assert barriers(page) == []
    # The browser itself notes the status of the page on the console.
    assert all("404" in complaint for complaint in tab.complaints)
    tab.complaints.clear()


def test_the_portal_is_used_with_the_keyboard_alone(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/vi/")
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#q")).to_be_focused()
    outline = page.locator("#q").evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"


def test_the_language_switch_stays_on_the_page(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address).open("/vi/search?q=ket+noi&agency=H26")
    page.get_by_role("link", name="中文").click()
    page.wait_for_url("**/zh/search?q=ket+noi&agency=H26")
    expect(page.locator("h1")).to_have_text("搜索文件")


def test_the_overview_is_filtered_and_keeps_itself_fresh(
    central: CentralProcess, filled: LedgerRows, new_tab: Tab
) -> None:
    tab = new_tab(central.address)
    tab.page.clock.install()
    page = tab.open("/vi/agencies")
    expect(page.locator("tr[data-words]")).to_have_count(70)
    page.locator("#filter").fill("ha noi")
    expect(page.locator("tr[data-words]:visible")).to_have_count(1)
    hanoi = page.locator("tr[data-words]:visible")
    before = int(hanoi.locator("td").nth(1).inner_text())
    filled.publish(directive("fresh"), "H26")
    for _ in range(20):
        page.clock.run_for(6_000)
        page.wait_for_load_state("networkidle")
        if int(hanoi.locator("td").nth(1).inner_text()) == before + 1:
            break
    else:
        pytest.fail("the overview did not take up what was published")


def test_the_pages_work_without_scripts(central: CentralProcess, filled: LedgerRows, new_tab: Tab) -> None:
    page = new_tab(central.address, java_script_enabled=False).open("/vi/")
    assert page.locator(".card").count() > 0
    page.locator("#q").fill("ket noi")
    page.locator("#q").press("Enter")
    page.wait_for_url("**/vi/search?q=ket+noi")
    assert page.locator("mark").count() > 0
