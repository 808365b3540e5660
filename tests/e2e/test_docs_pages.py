"""The documentation in a real browser: the gateway's pages and the whole site, open to all, nothing from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from barriers import barriers, fits
from gateway_process import GatewayProcess
from portalbus.infra.docs.site import PAGES, build
from portalbus.infra.stack import Endpoints
from portalbus.schemas.filled_texts import LANGUAGES
from shown_pages import GATEWAY, LOOKS, SITE
from watched_tab import Watched

pytestmark = pytest.mark.browser

DOCS = Path(__file__).parents[2] / "docs"
NOBODY = Endpoints("127.0.0.1:9", "http://127.0.0.1:9", "postgresql://127.0.0.1:9/none")

LONG = ("events", "events-vi", "rules", "rules-zh")
"""Their colours are those of the others, and axe takes long to look at each."""
LONG_ELSEWHERE = {f"/{language}/{name}" for language in ("vi", "zh") for name in ("events", "rules")}
"""What axe has looked at in English."""
DECISION = "/adr/0001-one-lane-per-agency"
"""One for all: they are made of the same parts, and axe looks at the how-tos, which have more of them."""

Tab = Callable[..., Watched]
Picture = Callable[[Page, str, str, str], None]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway; its pages need nothing of the bus."""
    process = GatewayProcess(NOBODY, tmp_path_factory.mktemp("gateway"))
    process.start(ready=False)
    yield process.address
    process.stop()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of the documentation's site, and the paths of its pages; what was written stands once among them."""
    out = tmp_path_factory.mktemp("site")
    build(out, DOCS)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=out))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = (path.relative_to(out) for path in out.rglob("*.html"))
    pages = sorted(
        f"/{path.as_posix()}" for path in found if path.parts[0] not in LANGUAGES or path.stem in ("index", *PAGES)
    )
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()


@pytest.mark.parametrize("look", LOOKS)
def test_the_gateways_pages_fit_and_axe_finds_no_barrier(
    gateway: str, new_tab: Tab, take_picture: Picture, look: str
) -> None:
    tab = new_tab(gateway, **LOOKS[look])
    for name, path in GATEWAY.items():
        for language in LANGUAGES:
            page = tab.open(f"{path}?lang={language}")
            assert page.locator("html").get_attribute("lang") == language
            assert page.locator("h1").count() == 1
            assert fits(page), (name, language)
            if look == "light" or (look, language) == ("dark", "vi"):
                assert barriers(page) == [], (name, language)
            if language == "vi":
                take_picture(page, "gateway", name, look)


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_that_stand_for_the_site_fit_and_axe_finds_no_barrier(
    site: tuple[str, list[str]], new_tab: Tab, take_picture: Picture, look: str
) -> None:
    tab = new_tab(site[0], **LOOKS[look])
    for name, path in SITE.items():
        page = tab.open(path)
        assert page.locator("h1").count() == 1, name
        assert fits(page), name
        if look == "dark" and name not in LONG:
            assert barriers(page) == [], name
        take_picture(page, "site", name, look)


def test_every_page_of_the_site_fits_the_narrowest_screen_and_axe_finds_no_barrier(
    site: tuple[str, list[str]], new_tab: Tab
) -> None:
    address, pages = site
    tab = new_tab(address, **LOOKS["narrowest"])
    for path in pages:
        page = tab.open(path)
        assert fits(page), path
        name = path.removesuffix(".html")
        if name not in LONG_ELSEWHERE and (name == DECISION or not name.startswith("/adr/")):
            assert barriers(page) == [], path
