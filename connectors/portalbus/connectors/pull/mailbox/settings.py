"""What a mailbox needs to be told."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from portalbus.connectors.pull.config import MIB, FeedbackPortalConfig, Seconds

USUAL_PORTS = {"imaps": 993, "imap": 143}


class MailboxConfig(FeedbackPortalConfig):
    """Settings of a mailbox.

    `address` is `imaps://host/folder`, or `imap://host/folder` for STARTTLS; without a folder it is INBOX. The
    password is `env:NAME` or `file:/path`. `regime` and `category` are those of the cases. A mail that was taken is
    marked as read (`after: mark`), moved to the folder `moved_to`, or left as it is (`nothing`). Of each mail at most
    `max_bytes` are read. Mails that came before `since` are left alone.
    """

    user: str
    password: str = Field(default="", repr=False)
    tls: Literal["require", "off"] = "require"
    ca_file: str = ""
    regime: Annotated[str, Field(pattern=r"^R[1-7]$")]
    category: Annotated[int, Field(ge=1, le=8)] = 6
    after: Literal["mark", "move", "nothing"] = "mark"
    moved_to: str = ""
    batch: Annotated[int, Field(ge=1, le=1_000)] = 50
    max_bytes: Annotated[int, Field(ge=4_096, le=64 * MIB)] = 2 * MIB
    timeout: Annotated[Seconds, Field(ge=0.1, le=600)] = 30.0
    longest: Annotated[Seconds, Field(ge=1, le=3_600)] = 600.0

    @field_validator("address")
    @classmethod
    def _is_a_mailbox(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.scheme not in USUAL_PORTS or not parts.hostname:
            raise ValueError("an address is imaps://host/folder or imap://host/folder")
        if parts.username or parts.password or parts.query:
            raise ValueError("leave user and password out of the address: they have settings of their own")
        _ = parts.port  # raises ValueError in its own words
        return address

    @model_validator(mode="after")
    def _knows_where_to_move(self) -> MailboxConfig:
        if (self.after == "move") != bool(self.moved_to):
            raise ValueError("after: move needs moved_to, the folder; and moved_to needs after: move")
        return self

    @property
    def parts(self) -> SplitResult:
        """The address in its parts."""
        return urlsplit(self.address)

    @property
    def host(self) -> str:
        """The server."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        return self.parts.port or USUAL_PORTS[self.parts.scheme]

    @property
    def folder(self) -> str:
        """The folder, INBOX unless named."""
        return unquote(self.parts.path.strip("/")) or "INBOX"

    @property
    def place(self) -> str:
        """How the mailbox is called in messages; nobody's login is in it."""
        return f"{self.parts.scheme}://{self.host}/{self.folder}"
