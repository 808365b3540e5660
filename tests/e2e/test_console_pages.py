"""The console in a real browser: light, dark and on a telephone, live, by keyboard alone, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from playwright.sync_api import Page, expect

from barriers import barriers, fits
from central_process import CentralProcess
from ledger_rows import LedgerRows, directive, feedback
from office_accounts import PASSWORD, make_account
from office_ledger import GAP, fill_office, misroute, owe_answers, raise_alert
from shown_pages import CONSOLE, LOOKS
from watched_tab import Watched

pytestmark = pytest.mark.browser


Tab = Callable[..., Watched]
Picture = Callable[[Page, str, str, str], None]


@pytest.fixture(scope="module")
def console(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A console over a ledger that is out of step in every way; no page asks the registry for anything."""
    make_account(ledger_url, "centre")
    rows = LedgerRows(ledger_url)
    fill_office(rows, ledger_url)
    rows.receive(feedback("H26-0003", "7GQ2M0Z4KX9B", urgency="URGENT"))
    rows.close()
    owed = {-5: ["MET"] * 6, -4: ["MET"] * 4 + ["LATE"], -1: ["MET"] * 3 + ["MISSED"] * 2, 0: ["OPEN"], 3: ["OPEN"] * 5}
    owe_answers(ledger_url, "H26", owed)
    misroute(ledger_url, "H29-2026-000417", "H29", "G17", "ministry.construction.2025", field="Giao thông")
    misroute(ledger_url, "H26-2026-000023", "H26.05", "H14", "local.province.2025", field="Đất đai", area="04")
    raise_alert(ledger_url, "case.overdue", "G22", count="2", case="G22-0007")
    surge = {"series": "y tế, H26", "observed": "41", "expected": "6", "examples": "H26-0001"}
    raise_alert(ledger_url, "feedback.surge", "G22", **surge)
    raise_alert(ledger_url, "lane.unheard", "", lanes="H26, H29")
    with psycopg.connect(ledger_url) as connection:  # it went up to the Government Portal
        connection.execute(
            "update ledger.case set owner = 'G22', passed = '{H26,G22}' where case_id = 'H26-0003'",
        )
    folder = tmp_path_factory.mktemp("console")
    process = CentralProcess(
        ledger_url,
        folder / "central.log",
        *("--registry-url", "http://127.0.0.1:9", "--bootstrap", "127.0.0.1:9", "--outbox", str(folder / "outbox")),
        *("--logins-per-minute", "1000"),
    )
    process.wait_until()
    yield process
    assert process.stop() == 0, process.log.read_text()


def log_in(tab: Watched, language: str = "vi") -> Page:
    """Types name and password, and comes to the overview."""
    page = tab.open(f"/office/{language}/login")
    page.locator("#name").fill("centre")
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    page.wait_for_url(f"**/office/{language}/")
    return page


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_reads_well_and_axe_finds_no_barrier(
    console: CentralProcess, new_tab: Tab, take_picture: Picture, look: str
) -> None:
    tab = new_tab(console.address, **LOOKS[look])
    page = tab.open("/office/vi/login")
    assert barriers(page) == []
    log_in(tab)
    for name, path in CONSOLE.items():
        page = tab.open(f"/office/vi{path}")
        for step in page.locator("details").all():
            step.evaluate("element => element.open = true")
        assert page.locator("h1").count() == 1, name
        assert fits(page), name
        assert barriers(page) == [], name
        take_picture(page, "console", name, look)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_reads_well_in_every_language(console: CentralProcess, new_tab: Tab, language: str) -> None:
    tab = new_tab(console.address, **LOOKS["narrowest"])
    log_in(tab, language)
    for name, path in CONSOLE.items():
        page = tab.open(f"/office/{language}{path}")
        assert page.locator("html").get_attribute("lang") == language
        assert fits(page), name
        assert barriers(page) == [], name


def test_with_animations_off_nothing_moves(console: CentralProcess, new_tab: Tab) -> None:
    page = log_in(new_tab(console.address, reduced_motion="reduce"))
    expect(page.locator("#live-text")).to_have_text("Cập nhật trực tiếp")
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_overview_turns_as_soon_as_an_agency_does(console: CentralProcess, new_tab: Tab, ledger_url: str) -> None:
    page = log_in(new_tab(console.address), "en")
    expect(page.locator("#live-text")).to_have_text("Live")
    tile = page.locator("#tile-H57")
    expect(tile).to_have_attribute("data-state", "in")
    assert page.locator("#tile-H60").get_attribute("data-state") == "never"
    page.evaluate("window.neverReloaded = true")
    rows = LedgerRows(ledger_url)
    rows.park("H57")
    expect(tile).to_have_attribute("data-state", "out", timeout=15_000)
    expect(tile.locator(".chip-stop")).to_have_text("1 unreadable")
    expect(page.locator("#announcement")).to_contain_text("is not in step")
    rows.publish(directive("dau-tien"), "H60")
    rows.close()
    expect(page.locator("#tile-H60")).to_have_attribute("data-state", "in", timeout=15_000)
    counts = [int(figure) for figure in page.locator("[data-count]").all_inner_texts()]
    assert sum(counts) == 70
    page.locator("#only-out").check()
    assert {tile.get_attribute("data-state") for tile in page.locator(".tile:visible").all()} == {"out"}
    page.locator("#only-out").uncheck()
    page.locator("#filter").fill("hue")
    expect(page.locator(".tile:visible")).to_have_count(1)
    assert page.evaluate("window.neverReloaded")
    assert barriers(page) == []


def test_an_overview_left_open_turns_into_the_login_when_its_session_ends(
    console: CentralProcess, new_tab: Tab, ledger_url: str
) -> None:
    page = log_in(new_tab(console.address), "en")
    expect(page.locator("#live-text")).to_have_text("Live")
    with psycopg.connect(ledger_url) as connection:
        connection.execute("delete from console.session")
    rows = LedgerRows(ledger_url)
    rows.park("H57")
    rows.close()
    page.wait_for_url("**/office/en/login*")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_gap_is_closed_with_the_keyboard_alone(console: CentralProcess, new_tab: Tab, ledger_url: str) -> None:
    tab = new_tab(console.address)
    log_in(tab)
    page = tab.open("/office/vi/agencies/H26")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    button = page.locator(f"#gap-www-1-{GAP[0]} summary.button-danger")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    expect(button).to_be_focused()
    assert button.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Máy chủ cũ đã hỏng")
    page.keyboard.press("Enter")
    page.wait_for_url("**/agencies/H26?done=*")
    expect(page.locator("#done")).to_contain_text("Đã đóng chỗ thiếu 3 tin.")
    expect(page.locator("#gap-www-1-4")).to_have_count(0)
    with psycopg.connect(ledger_url) as look:
        closing = look.execute("select closed_by, why from ledger.gap_closing").fetchall()
    assert closing == [("centre", "Máy chủ cũ đã hỏng")]
    assert barriers(page) == []


def test_an_undecided_case_is_given_away_with_the_keyboard_alone(console: CentralProcess, new_tab: Tab) -> None:
    tab = new_tab(console.address)
    log_in(tab, "en")
    page = tab.open("/office/en/undecided")
    expect(page.get_by_role("link", name="Undecided cases")).to_have_attribute("aria-current", "page")
    button = page.locator("#case-H26-0003 summary")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    for said in ("Ministry of Home", "The ministry took over this field; the province says so too."):
        page.keyboard.press("Tab")
        page.keyboard.type(said)
    expect(page.get_by_label("To which body")).to_have_value("G09")
    expect(page.get_by_label("Why, in words")).to_have_value(
        "The ministry took over this field; the province says so too."
    )


@pytest.mark.parametrize("look", LOOKS)
def test_a_reason_without_substance_is_asked_for_again_with_what_was_typed(
    console: CentralProcess, new_tab: Tab, take_picture: Picture, look: str
) -> None:
    tab = new_tab(console.address, **LOOKS[look])
    log_in(tab)
    page = tab.open("/office/vi/undecided")
    case = page.locator("#case-H26-0003")
    case.locator("summary").click()
    case.locator("select").select_option("G09")
    case.get_by_label("Lý do, bằng lời").fill("a" * 25)
    case.get_by_role("button", name="Thực hiện").click()
    expect(page.get_by_role("alert")).to_contain_text("ít nhất 20 ký tự")
    expect(page.get_by_label("Lý do, bằng lời")).to_have_value("a" * 25)
    expect(page.get_by_label("Lý do, bằng lời")).to_be_focused()
    assert fits(page)
    assert barriers(page) == []
    take_picture(page, "console", "again", look)
    page.get_by_role("link", name="Quay lại, không thực hiện gì").click()
    page.wait_for_url("**/office/vi/undecided")
    assert all("422" in complaint for complaint in tab.complaints)
    tab.complaints.clear()


def test_the_console_works_without_scripts(console: CentralProcess, new_tab: Tab) -> None:
    tab = new_tab(console.address, java_script_enabled=False)
    page = log_in(tab, "zh")
    expect(page.locator("h1")).to_have_text("总览")
    page = tab.open("/office/zh/agencies/H29")
    page.locator("summary", has_text="立即对账").click()
    expect(page.locator("details[open]").get_by_label("理由（记入日志）")).to_be_visible()


def test_a_wrong_password_is_told_to_those_who_cannot_see_it(console: CentralProcess, new_tab: Tab) -> None:
    tab = new_tab(console.address)
    page = tab.open("/office/en/login")
    page.locator("#name").fill("centre")
    page.locator("#password").fill("not this one")
    page.locator("#password").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    assert barriers(page) == []
    assert all("401" in complaint for complaint in tab.complaints)
    tab.complaints.clear()
