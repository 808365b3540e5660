"""Every page that people see, by the program that shows it, and the looks of which the browser tests take pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PICTURES = Path(__file__).parents[2] / "artifacts"
CENTRAL = {
    "front": "/",
    "search": "/search?q=ket+noi",
    "search-nothing": "/search?q=xyzzy",
    "search-answers": "/search?answers=1",
    "article": "/directives/G22/article-ja-vi",
    "directive": "/directives/G22/cd-118",
    "html": "/directives/H29/tb-77",
    "withdrawn": "/directives/G15/hd-9",
    "older-version": "/directives/G15/hd-9?version=1",
    "feedback-form": "/feedback",
    "feedback-answered": "/feedback/7GQ2M0Z4KX9A",
    "feedback-refused": "/feedback/3333333333ZZ",
    "feedback-open": "/feedback/2222222222ZZ",
    "feedback-late": "/feedback/4444444444ZZ",
    "feedback-paused": "/feedback/5555555555ZZ",
    "answer": "/answers/{answer}",
    "figures": "/figures",
    "figures-empty": "/figures?from=2020-01-01&to=2020-01-31",
    "agencies": "/agencies",
    "agency": "/agencies/H26",
    "agency-empty": "/agencies/H01",
    "agency-former": "/agencies/G14",
    "api": "/api",
}
CONSOLE = {
    "board": "/",
    "agency": "/agencies/H26",
    "agency-in-step": "/agencies/H29",
    "agency-told": "/agencies/G22",
    "agency-unheard": "/agencies/H01",
    "trace": "/trace?id=H26-0001",
    "trace-form": "/trace",
    "coverage": "/coverage?key=G22/cd-118",
    "coverage-recent": "/coverage",
    "undecided": "/undecided",
    "journal": "/journal",
}
GATEWAY = {"addresses": "/docs", "rules": "/docs/rules"}
SITE = {
    "index": "/index.html",
    "events": "/events.html",
    "rules": "/rules.html",
    "metrics": "/metrics.html",
    "machine": "/machine.html",
    "howto": "/howto/portal-developer.html",
    "decision": "/adr/0002-the-ledger-transaction.html",
    "index-vi": "/vi/index.html",
    "events-vi": "/vi/events.html",
    "rules-zh": "/zh/rules.html",
    "howto-zh": "/zh/howto/portal-developer.html",
}
"""Those of the documentation that stand for all others, which are opened too."""
PAGES = {"central": CENTRAL, "console": CONSOLE, "gateway": GATEWAY, "site": SITE}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark", "reduced_motion": "reduce"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
    "narrowest": {"viewport": {"width": 320, "height": 640}},
}


def picture(program: str, page: str, look: str) -> Path:
    """Where the picture of a page is kept, below the folder of all pictures."""
    return Path(program, f"{page}-{look}.png")


def pictures() -> Iterator[Path]:
    """Every picture that there has to be."""
    for program, pages in PAGES.items():
        for page in pages:
            yield from (picture(program, page, look) for look in LOOKS)
