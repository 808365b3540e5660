"""What every source on the web may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from portalbus.connectors.pull.config import PortalConfig
from portalbus.schemas.rules import is_web_address


class WebPortalConfig(PortalConfig):
    """A source that is read over the web.

    `headers` are sent with each request to the portal's own host; a value may be `env:NAME`. `encoding` is used
    instead of what the server announces. `robots: false` is for portals that agreed to be read. `attachments: false`
    leaves files out. `asks` is how many pages are asked in a pass whether they still stand.
    """

    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    encoding: str = ""
    robots: bool = True
    attachments: bool = True
    asks: Annotated[int, Field(ge=0, le=1_000)] = 20

    @field_validator("address")
    @classmethod
    def _is_web(cls, address: str) -> str:
        if not is_web_address(address):
            raise ValueError("an address begins with http:// or https://, names a host, and holds no login")
        return address
