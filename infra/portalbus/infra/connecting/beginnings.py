"""The ways in which a portal may join: what each asks for, and the file that each starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from string import Template


class Way(StrEnum):
    """How the events come to the bus."""

    SDK = "sdk"
    DJANGO = "django"
    GATEWAY = "gateway"
    FEED = "feed"
    SITEMAP = "sitemap"
    JSON = "json"
    SQL = "sql"
    FILES = "files"
    OPEN311 = "open311"
    IMAP = "imap"

    @property
    def is_pulled(self) -> bool:
        """Whether a pull connector reads the portal, so that it needs no developer."""
        return self not in (Way.SDK, Way.DJANGO, Way.GATEWAY)


CLIENTS = {
    "php": "publish.php",
    "javascript": "publish.mjs",
    "java": "Publish.java",
    "csharp": "Publish.cs",
    "shell": "publish.sh",
}
"""Languages in which there is a client for the gateway, with its file."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """One way: what it is, in a line; what the fourth question asks, with an example; and the file's usual name."""

    what: str
    asks: str
    example: str
    file: str


BEGINNINGS: Mapping[Way, Beginning] = {
    Way.SDK: Beginning("Python: the SDK in the portal's backend", "Folder of the outbox", "outbox", "publishing.py"),
    Way.DJANGO: Beginning(
        "Django: events commit with the portal's own rows", "Folder of the outbox", "outbox", "portal_publishing.py"
    ),
    Way.GATEWAY: Beginning(
        "any other language: the HTTP gateway",
        f"Language of the portal ({', '.join(CLIENTS)})",
        "php",
        "",
    ),
    Way.FEED: Beginning("RSS or Atom", "Address of the feed", "https://hanoi.gov.vn/rss", "pull.yaml"),
    Way.SITEMAP: Beginning(
        "pages found by a sitemap", "Address of the sitemap", "https://hanoi.gov.vn/sitemap.xml", "pull.yaml"
    ),
    Way.JSON: Beginning("a JSON API", "Address of the list", "https://hanoi.gov.vn/api/van-ban", "pull.yaml"),
    Way.SQL: Beginning(
        "a view of the portal's database", "Address of the database", "postgresql://10.0.0.5:5432/cong", "pull.yaml"
    ),
    Way.FILES: Beginning("CSV or XLSX files in a folder", "The folder", "/srv/tha-vao", "pull.yaml"),
    Way.OPEN311: Beginning(
        "a city's Open311 service", "Base of the API", "https://1022.danang.gov.vn/open311/v2", "pull.yaml"
    ),
    Way.IMAP: Beginning("a mailbox for feedback", "Address of the mailbox", "imaps://mail.gov.vn/INBOX", "pull.yaml"),
}


def client_file(language: str) -> str:
    """The client's file for a language. Raises KeyError when there is none."""
    return CLIENTS[language.lower()]


def first_text(way: Way, agency: str, portal: str, address: str) -> str:
    """The file to start from. Raises KeyError for a gateway language without a client."""
    if way is Way.GATEWAY:
        return files("portalbus.connectors.gateway").joinpath("clients", client_file(address)).read_text("utf-8")
    name = f"{way.value}.py" if not way.is_pulled else f"{way.value}.yaml"
    template = files(__package__).joinpath("templates", f"{name}.txt").read_text("utf-8")
    return Template(template).substitute(agency=agency, portal=portal, address=address)
