"""What a kind of source is: its settings, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from portalbus.connectors.pull.found import Before, Known, Presence, Reading
from portalbus.schemas.errors import PortalbusError

if TYPE_CHECKING:
    from portalbus.connectors.pull.comparing import Outcome
    from portalbus.connectors.pull.config import PortalConfig
    from portalbus.connectors.pull.web.client import WebClient


class ReadFailed(PortalbusError):
    """A source could not be read this time; nothing is decided on it.

    `place` is where (an address without its query, a file, a table), `what` says what went wrong, `mend` what to do
    about it. `retry_after` is the pause in seconds that the source itself asked for. `refused` says that it answered,
    and will answer the same next time (a 403).
    """

    def __init__(
        self, place: str, what: str, mend: str = "", *, retry_after: float | None = None, refused: bool = False
    ) -> None:
        self.refused = refused
        self.place = place
        self.what = what
        self.mend = mend
        self.retry_after = retry_after
        super().__init__(f"{place}: {what}" + (f". {mend}" if mend else ""))


class NotYet(ReadFailed):
    """It is not the time to read: a host rests, or its budget is used up. Nothing is wrong with the source."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source may use: the clock (UTC), a way to the web, and the secrets named in its configuration.

    `secret("env:NAME")` and `secret("file:/path")` give the secret; any other text is given back as it is.
    """

    clock: Callable[[], datetime]
    web: Callable[[], WebClient]
    """A web client for one pass; it holds to robots.txt, budgets, bounds and checked addresses."""
    secret: Callable[[str], str]


class Source(Protocol):
    """One portal's content, ready to be read. It is used by one thread at a time, and closed after each pass."""

    def read(self, before: Before) -> Reading:
        """Reads what stands there now, given what was remembered. Raises ReadFailed, and changes nothing there.

        After a reading with `more` it is called again, on the same object.
        """
        ...

    def ask(self, item: Known) -> Presence:
        """Asks an item's own page whether it still stands; UNKNOWN where nobody can say. Raises ReadFailed."""
        ...

    def settled(self, reading: Reading, outcome: Outcome) -> None:
        """Everything of this reading is remembered: a file may be moved, a mail marked. May be left out by a crash.

        `outcome` says what became of each item.
        """
        ...

    def close(self) -> None:
        """Closes what was opened for this pass."""
        ...


class ReadOnlySource:
    """What most sources do besides reading: nothing."""

    def ask(self, item: Known) -> Presence:
        """Nobody can say."""
        return Presence.UNKNOWN

    def settled(self, reading: Reading, outcome: Outcome) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing was opened."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source: its name in the configuration, its settings, and how to open one.

    `defaults` are the field rules (in the words of the configuration) for fields that the mapping leaves out.
    """

    name: str
    settings: type[PortalConfig]
    open: Callable[[Any, Surroundings], Source]
    defaults: Mapping[str, Any]
