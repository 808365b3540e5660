"""What a mail says, read from bytes that may be anything: subject and text, who wrote it, what is attached."""

from __future__ import annotations

import email
import email.header
import email.message
import email.policy
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.web import encodings
from portalbus.connectors.pull.web.html_text import plain
from portalbus.schemas.rules import CONTROL

MAX_PARTS = 200
MAX_PART_BYTES = 1024 * 1024
BULK = frozenset({"bulk", "list", "junk", "auto_reply"})
KIND = re.compile(r"[a-z0-9][\w.+-]{0,60}/[a-z0-9][\w.+-]{0,80}", re.ASCII)
UNKNOWN_KIND = "application/octet-stream"
SIGNATURE = ("-- ", "--")


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file in a mail: its kind and size. Its name is not kept; it often is a person's."""

    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was read. `names` are the sender's, to be taken out of the text; `automatic` says that no person
    wrote it; `readable` is false where even its parts could not be told apart.
    """

    message_id: str
    sent: str
    names: tuple[str, ...]
    subject: str
    text: str
    attached: tuple[AttachedFile, ...] = ()
    automatic: bool = False
    readable: bool = True


def read_mail(content: bytes) -> Mail:
    """Reads a mail; never raises, whatever the bytes are."""
    try:
        message = email.message_from_bytes(content, policy=email.policy.compat32)
        return _mail(message)
    except Exception:  # the parser is fed by strangers; hundreds of nested parts alone exhaust its stack
        return Mail("", "", (), "", "", readable=False)


def _mail(message: email.message.Message) -> Mail:
    plains, pages, attached = [], [], []
    for part in _parts(message):
        kind = part.get_content_type()
        is_text = kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment"
        data = part.get_payload(decode=True)
        payload = data if isinstance(data, bytes) else b""
        if not is_text or _name(part):
            attached.append(AttachedFile(kind if KIND.fullmatch(kind) else UNKNOWN_KIND, len(payload)))
        elif kind == "text/plain":
            plains.append(decoded(payload[:MAX_PART_BYTES], part.get_content_charset() or ""))
        else:
            pages.append(plain(decoded(payload[:MAX_PART_BYTES], part.get_content_charset() or "")))
    text = _own_words("\n\n".join(plains)) or _own_words("\n\n".join(pages))
    return Mail(
        _header(message, "message-id"),
        _header(message, "date"),
        _names(message),
        clean(_header(message, "subject")),
        clean(text),
        tuple(attached),
        _is_automatic(message),
    )


def decoded(data: bytes, charset: str) -> str:
    """The text of bytes, whatever the charset they claim to be in; what fits nothing shows as U+FFFD."""
    try:
        return encodings.decode(data, charset.strip("\"' ").lower()).text
    except (ReadFailed, LookupError, ValueError):
        return data.decode("utf-8", errors="replace")


def clean(text: str) -> str:
    """The text without what the contract refuses and no citizen can mend: control characters, halves of pairs."""
    return CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _parts(message: email.message.Message) -> Iterator[email.message.Message]:
    """The parts that hold something; a mail inside the mail is one attached file."""
    left, count = [message], 0
    while left and count < MAX_PARTS:
        part = left.pop(0)
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            inside = part.get_payload()
            left[:0] = [one for one in inside if isinstance(one, email.message.Message)]
        else:
            count += 1
            yield part


def _name(part: email.message.Message) -> str:
    try:
        return str(part.get_filename() or "")
    except Exception:
        return "?"  # a name that cannot be read is a name


def _header(message: email.message.Message, name: str) -> str:
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    line = " ".join(raw.split())
    try:
        pieces = email.header.decode_header(line)
    except Exception:
        pieces = [(line, None)]
    return "".join(_piece(piece, charset) for piece, charset in pieces).strip()


def _piece(piece: bytes | str, charset: str | None) -> str:
    data = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogateescape")
    if charset is None and isinstance(piece, bytes):
        charset = ""
    return decoded(data, charset or "")


def _names(message: email.message.Message) -> tuple[str, ...]:
    """What the sender is called in the header, whole and without the parts after a comma or bracket."""
    found: set[str] = set()
    for header in ("from", "reply-to", "sender"):
        for name, _ in email.utils.getaddresses([_header(message, header)]):
            found.update(part for part in (name, name.partition("(")[0], name.partition(",")[0]) if part.strip())
    return tuple(sorted(part.strip() for part in found))


def _is_automatic(message: email.message.Message) -> bool:
    """Answers of machines, lists and undeliverable mail: RFC 3834, and what is customary."""
    submitted = _header(message, "auto-submitted").lower()
    return (
        (submitted not in ("", "no"))
        or _header(message, "precedence").lower() in BULK
        or _header(message, "return-path") == "<>"
        or message.get_content_type() == "multipart/report"
        or _header(message, "x-spam-flag").upper() == "YES"
    )


def _own_words(text: str) -> str:
    """Without the mail that it answers, and without what stands below the signature's dashes."""
    kept = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.rstrip("\r") in SIGNATURE:
            break
        if not line.startswith(">"):
            kept.append(line.rstrip())
    return "\n".join(kept).strip()
