"""A request whose headers are found in one look each: the gateway asks for a dozen of them."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope, Send


class QuickHeaders(Headers):
    """As Starlette's; a name that comes twice has its first value, and `items()` shows both."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(raw=scope["headers"])
        self._first: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def __getitem__(self, key: str) -> str:
        """The first value of a header. Raises KeyError."""
        return self._first[key.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, key: Any) -> bool:
        """Whether there is such a header."""
        return key.lower().encode("latin-1") in self._first

    def get(self, key: str, default: Any = None) -> Any:
        """The first value of a header, or the default."""
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")


class QuickRequest(Request):
    """A request with such headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._quick = QuickHeaders(scope)

    @property
    def headers(self) -> Headers:
        """Its headers."""
        return self._quick
