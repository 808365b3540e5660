"""One session with an IMAP server, bounded in time and size whatever the server does."""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.mailbox.folder_names import quoted
from portalbus.connectors.pull.mailbox.settings import MailboxConfig

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SPARE_BYTES = 4_096
SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})")
ARRIVED = re.compile(rb'INTERNALDATE "([^"]{1,40})"')
SHORT_BODY = re.compile(rb'BODY\[\](?:<\d+>)? "((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FolderState:
    """What a folder says of itself when it is opened. `next_uid` is 0 where the server does not say."""

    validity: int
    count: int
    next_uid: int


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail as the server has it: at most so many bytes as were asked for, its whole size, and when it arrived."""

    content: bytes
    size: int
    arrived: datetime | None


class Session:
    """A login, and one folder. Every method raises ReadFailed; no message of the server is passed on unread."""

    def __init__(self, config: MailboxConfig, password: str) -> None:
        self._config = config
        self._late = False
        with self._errors("no connection", "Look at address, tls and ca_file"):
            self._server = _connected(config)
        # A server may answer a byte a minute, so the whole session has an end of its own.
        self._watch = threading.Timer(config.longest, self._end)
        self._watch.daemon = True
        self._watch.start()
        with self._errors("the login was refused", "Look at user and password"):
            self._server.login(config.user, password)
            _, answered = self._server.capability()
        self._can = b" ".join(part for part in answered if isinstance(part, bytes)).upper().split()

    def open(self) -> FolderState:
        """Opens the folder."""
        readonly = self._config.after == "nothing"
        mend = "Make the folder, or change the address"
        with self._errors(f"the folder {self._config.folder} cannot be opened", mend):
            status, answered = self._server.select(quoted(self._config.folder), readonly=readonly)
            if status != "OK":
                raise ReadFailed(self._config.place, f"the folder {self._config.folder} is not there", mend)
            count = _number(answered[0])
            validity = _number(self._server.response("UIDVALIDITY")[1][0])
            return FolderState(validity, count, _number(self._server.response("UIDNEXT")[1][0]))

    def uids_after(self, uid: int, since: date | None) -> list[int]:
        """The UIDs of mails after one, in order."""
        wanted = f"UID {uid + 1}:*" + (f" SINCE {since.day}-{MONTHS[since.month - 1]}-{since.year}" if since else "")
        with self._errors("its list of mails cannot be read", "Move old mails elsewhere, or set since"):
            _, answered = self._server.uid("SEARCH", wanted)
        found = {int(part) for line in answered if line for part in line.split() if part.isdigit()}
        return sorted(number for number in found if number > uid)  # `n:*` always holds the last mail

    def mail(self, uid: int) -> RawMail | None:
        """A mail, not marked as read by this; None when it is gone meanwhile."""
        bound = self._config.max_bytes
        with self._errors(f"the mail with UID {uid} cannot be read", "It is tried again"):
            _, about = self._server.uid("FETCH", str(uid), "(UID RFC822.SIZE INTERNALDATE)")
            _, answered = self._server.uid("FETCH", str(uid), f"(UID BODY.PEEK[]<0.{bound}>)")
        content = _content(answered)
        if content is None:
            return None
        said = b" ".join(part for part in about if isinstance(part, bytes))
        size, arrived = SIZE.search(said), ARRIVED.search(said)
        return RawMail(
            content[:bound], int(size[1]) if size else len(content), _moment(arrived[1]) if arrived else None
        )

    def take(self, uids: Sequence[int]) -> None:
        """Marks or moves mails that were taken, as the configuration says."""
        if not uids or self._config.after == "nothing":
            return
        numbers = ",".join(map(str, uids))
        with self._errors("taken mails cannot be marked", "Let the user change flags and folders"):
            if self._config.after == "mark":
                self._server.uid("STORE", numbers, "+FLAGS.SILENT", r"(\Seen)")
            else:
                self._move(numbers)

    def close(self) -> None:
        """Ends the session."""
        self._watch.cancel()
        with suppress(Exception):  # whatever a broken connection raises on its way out
            self._server.logout()

    def _move(self, numbers: str) -> None:
        target = quoted(self._config.moved_to)
        command = "MOVE" if b"MOVE" in self._can else "COPY"
        status, _ = self._server.uid(command, numbers, target)
        if status != "OK":
            self._server.create(target)
            status, _ = self._server.uid(command, numbers, target)
        if status != "OK":
            mend = f"Make the folder {self._config.moved_to}"
            raise ReadFailed(self._config.place, "taken mails cannot be moved", mend)
        if command == "COPY":
            self._server.uid("STORE", numbers, "+FLAGS.SILENT", r"(\Seen \Deleted)")
            if b"UIDPLUS" in self._can:  # without it an expunge would take what others deleted too
                self._server.uid("EXPUNGE", numbers)

    def _end(self) -> None:
        self._late = True
        with suppress(OSError):
            self._server.sock.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _errors(self, what: str, mend: str) -> Iterator[None]:
        try:
            yield
        except ReadFailed:
            raise
        except TimeoutError:
            late = f"it did not answer within {self._config.timeout:g} s"
            raise ReadFailed(self._config.place, f"{what}: {late}", "Is the server busy?") from None
        except (imaplib.IMAP4.error, OSError, ValueError, EOFError) as error:
            why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
            if self._late:
                why = f": the session took longer than {self._config.longest:g} s"
            raise ReadFailed(self._config.place, what + why, mend) from None


class _Bounded(imaplib.IMAP4):
    """IMAP whose server cannot make it read more than was asked for."""

    bound = 0

    def read(self, size: int) -> bytes:
        """Reads a literal of so many bytes. Raises abort when there are more than were asked for."""
        if size > self.bound:
            raise self.abort(f"the server sends {size} bytes")
        return super().read(size)


class _BoundedTls(_Bounded, imaplib.IMAP4_SSL):
    pass


def _connected(config: MailboxConfig) -> imaplib.IMAP4:
    context = ssl.create_default_context(cafile=config.ca_file or None)
    server: _Bounded
    if config.parts.scheme == "imaps":
        server = _BoundedTls(config.host, config.port, ssl_context=context, timeout=config.timeout)
    else:
        server = _Bounded(config.host, config.port, timeout=config.timeout)
        if config.tls != "off":
            server.starttls(context)
    server.bound = config.max_bytes + SPARE_BYTES
    return server


def _content(answered: Sequence[Any]) -> bytes | None:
    """The body in the answer to a FETCH: a literal as a rule, a quoted string for short ones."""
    for part in answered:
        if isinstance(part, tuple) and b"BODY[" in part[0].upper():
            return bytes(part[1])
    line = b" ".join(part for part in answered if isinstance(part, bytes))
    found = SHORT_BODY.search(line)
    return ESCAPED.sub(rb"\1", found[1]) if found else None


def _number(value: Any) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() else 0


def _moment(text: bytes) -> datetime | None:
    try:
        return datetime.strptime(text.decode("ascii").strip(), "%d-%b-%Y %H:%M:%S %z")
    except ValueError:
        return None
