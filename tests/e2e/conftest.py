"""A real Chromium for the tests of pages; they are skipped, with the reason, where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, sync_playwright

from portalbus_command import Portalbus, bus_up
from shown_pages import PICTURES, picture
from watched_tab import Watched

LONGEST_PICTURE = 4_000
"""In pixels of the page; what comes below looks alike."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system, or the one that PORTALBUS_CHROMIUM names.

    Not for the whole session: while Playwright's synchronous API is open, no other test can run an event loop.
    """
    named = os.environ.get("PORTALBUS_CHROMIUM")
    program = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip(
            "there is no Chromium here: install it (Debian: apt-get install chromium) or set PORTALBUS_CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser: Browser) -> Iterator[object]:
    """Makes watched tabs; at the end, none may have complained or asked anything of another host."""
    contexts: list[BrowserContext] = []
    tabs: list[Watched] = []

    def make(address: str, **options: object) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        contexts.append(context)
        tabs.append(Watched(context, address))
        return tabs[-1]

    yield make
    for context in contexts:
        context.close()
    assert [complaint for tab in tabs for complaint in tab.complaints] == []


@pytest.fixture(scope="session")
def take_picture() -> Callable[[Page, str, str, str], None]:
    """Keeps a picture of a page of a program in one look, for people to look at."""

    def take(page: Page, program: str, name: str, look: str) -> None:
        path = PICTURES / picture(program, name, look)
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(height, LONGEST_PICTURE)}
        page.screenshot(path=path, full_page=True, clip=clip)

    return take


@pytest.fixture(scope="session")
def running_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portalbus]:
    """The whole bus, brought up once in the background by the command line itself."""
    with bus_up(tmp_path_factory.mktemp("bus")) as command:
        yield command
