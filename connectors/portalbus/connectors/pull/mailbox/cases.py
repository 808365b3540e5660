"""From a mail to a feedback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from portalbus.connectors.pull.dates import utc
from portalbus.connectors.pull.found import FoundItem
from portalbus.connectors.pull.mailbox.mail import AttachedFile, Mail
from portalbus.connectors.pull.mailbox.session import RawMail
from portalbus.connectors.pull.mailbox.settings import MailboxConfig
from portalbus.connectors.pull.mapping import FieldRule, mapped, one_line
from portalbus.connectors.pull.redaction import redacted
from portalbus.schemas.models import Channel, FeedbackReceived

MAX_SUBJECT = 500
MAX_CONTENT = 20_000
ID_DIGITS = 32
TOLD_APART_BY = 10_000
NO_SUBJECT = "(không có tiêu đề)"
NO_TEXT = "(thư không có nội dung chữ)"
UNREADABLE = "(thư không đọc được tự động; xem thư gốc trong hộp thư của cơ quan)"
KIB = 1024


def case_of(raw: RawMail, mail: Mail, rules: dict[str, FieldRule], config: MailboxConfig) -> FoundItem:
    """The feedback in a mail. `rules` are those of the configuration; fields that they leave out have usual values."""
    whole = raw.size <= len(raw.content) or len(raw.content) < config.max_bytes
    text = redacted(mail.text, mail.names) if mail.readable else UNREADABLE
    if not text:
        text = NO_TEXT
    notes = [attached_note(mail.attached)] if mail.attached else []
    notes += [] if whole else [f"[Thư dài {_size(raw.size)}; chỉ phần đầu được đọc.]"]
    data: dict[str, Any] = {
        "regime": config.regime,
        "category": config.category,
        "channel": Channel.EMAIL.value,
        "addressed_to": config.agency,
        "subject": one_line(redacted(mail.subject, mail.names))[:MAX_SUBJECT].strip() or NO_SUBJECT,
        "content": _bounded(text, notes),
        "language": "vi",
    }
    if raw.arrived is not None:
        data["received_at"] = utc(raw.arrived).isoformat()
    data |= mapped(rules, lambda name: data.get(name))
    return FoundItem(mail_id(raw, mail), data, FeedbackReceived.event_type, occurred_at=raw.arrived, mark="read")


def mail_id(raw: RawMail, mail: Mail) -> str:
    """The mail's own name: the same in every folder and under every UID, and another one for every other text."""
    if mail.readable:
        said = (mail.message_id, mail.sent, *mail.names, mail.subject, mail.text[:TOLD_APART_BY])
        return sha256("\n".join(said).encode("utf-8", "replace")).hexdigest()[:ID_DIGITS]
    return sha256(raw.content).hexdigest()[:ID_DIGITS]


def attached_note(files: Sequence[AttachedFile]) -> str:
    """What is attached, by kind; the files stay in the mailbox."""
    kinds = Counter(file.media_type for file in files)
    total = sum(file.size for file in files)
    listed = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))
    return f"[Kèm theo {len(files)} tệp ({listed}; {_size(total)}), lưu tại cơ quan tiếp nhận.]"


def _bounded(text: str, notes: Sequence[str]) -> str:
    room = MAX_CONTENT - sum(len(note) + 2 for note in notes)
    if len(text) > room:
        cut = f"… [đã cắt: thư có {len(text)} ký tự]"
        text = text[: room - len(cut)] + cut
    return "\n\n".join([text, *notes])


def _size(count: int) -> str:
    return f"{max(count // KIB, 1)} KiB" if count < KIB * KIB else f"{count / KIB / KIB:.1f} MiB"
