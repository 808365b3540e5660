"""The kinds of source there are, by the name they have in the configuration. A kind is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from portalbus.connectors.pull.kind import Kind

_HOMES = {
    "feed": "portalbus.connectors.pull.feed:FEED",
    "sitemap": "portalbus.connectors.pull.sitemap:SITEMAP",
    "json": "portalbus.connectors.pull.json_api:JSON_API",
    "sql": "portalbus.connectors.pull.sql_view.kind:SQL_VIEW",
    "files": "portalbus.connectors.pull.drop_folder.kind:DROP_FOLDER",
    "open311": "portalbus.connectors.pull.open311.kind:OPEN311",
    "imap": "portalbus.connectors.pull.mailbox.kind:MAILBOX",
}

KINDS = tuple(_HOMES)
"""Their names."""


def kind(name: str) -> Kind:
    """The kind with this name. Raises KeyError when there is none, ModuleNotFoundError when its extra is missing."""
    module, _, attribute = _HOMES[name].partition(":")
    found: Kind = getattr(import_module(module), attribute)
    return found
