"""What a view needs to be told."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator

from portalbus.connectors.pull.config import Seconds
from portalbus.connectors.pull.rows.settings import RowsConfig

POSTGRESQL = ("postgresql", "postgres")
USUAL_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306}
NAME = re.compile(r"[^\W\d][\w$]{0,62}(\.[^\W\d][\w$]{0,62})?")


class SqlViewConfig(RowsConfig):
    """Settings of a view.

    `address` is `postgresql://host:port/database` or `mysql://host:port/database` (`mariadb` too); login and password
    stand beside it, the password as `env:NAME` or `file:/path`. `view` is the view's name, with its schema where it has
    one. `changed` names a column that changes whenever the row does (a time, a version): then unchanged rows are
    not read again. A statement may take `timeout`, a whole pass `longest`. `writable` says what is done with a user
    who could write: it is refused unless this is `warn`.
    """

    view: str
    user: str
    password: str = Field(default="", repr=False)
    changed: str = ""
    timeout: Annotated[Seconds, Field(ge=0.1, le=3_600)] = 60.0
    longest: Annotated[Seconds, Field(ge=1, le=86_400)] = 3_600.0
    connect_timeout: Annotated[Seconds, Field(ge=1, le=60)] = 5.0
    writable: Literal["refuse", "warn"] = "refuse"
    tls: Literal["off", "prefer", "require", "verify"] = "prefer"
    tls_ca: str = ""
    max_items: Annotated[int, Field(ge=1, le=1_000_000)] = 200_000

    @field_validator("address")
    @classmethod
    def _is_a_database(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.scheme not in USUAL_PORTS or not parts.hostname or not parts.path.strip("/"):
            raise ValueError("an address is postgresql://host:port/database or mysql://host:port/database")
        if parts.username or parts.password or parts.query:
            raise ValueError("leave user, password and options out of the address: they have settings of their own")
        _ = parts.port  # raises ValueError in its own words
        return address

    @field_validator("view")
    @classmethod
    def _is_a_name(cls, view: str) -> str:
        if not NAME.fullmatch(view):
            raise ValueError("a view is a name such as v_van_ban or cong_khai.v_van_ban, not a statement")
        return view

    @property
    def parts(self) -> SplitResult:
        """The address in its parts."""
        return urlsplit(self.address)

    @property
    def port(self) -> int:
        """The server's port."""
        return self.parts.port or USUAL_PORTS[self.parts.scheme]

    @property
    def database(self) -> str:
        """The database's name."""
        return self.parts.path.strip("/")

    @property
    def place(self) -> str:
        """How the view is called in messages: host, database and name, and nobody's login."""
        return f"{self.parts.scheme}://{self.parts.hostname}/{self.database} {self.view}"
