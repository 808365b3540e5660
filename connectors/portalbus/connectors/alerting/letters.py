"""An alert as a mail in the office's language, and as the body of a webhook. Nothing in it comes from a citizen."""

from __future__ import annotations

import json
from email.message import EmailMessage
from email.utils import format_datetime
from types import MappingProxyType

from portalbus.connectors.alerting.saying import Saying, Turn
from portalbus.connectors.alerting.settings import Mailbox
from portalbus.schemas.notices import Alert
from portalbus.schemas.zone import ZONE

SUBJECTS = MappingProxyType(
    {
        ("vi", Turn.OPENED): "[portalbus] Cảnh báo: {about}",
        ("vi", Turn.UPDATED): "[portalbus] Cập nhật: {about}",
        ("vi", Turn.CLOSED): "[portalbus] Đã kết thúc: {about}",
        ("en", Turn.OPENED): "[portalbus] Alert: {about}",
        ("en", Turn.UPDATED): "[portalbus] Update: {about}",
        ("en", Turn.CLOSED): "[portalbus] Over: {about}",
        ("zh", Turn.OPENED): "[portalbus] 告警：{about}",
        ("zh", Turn.UPDATED): "[portalbus] 更新：{about}",
        ("zh", Turn.CLOSED): "[portalbus] 已解除：{about}",
    }
)
FOOTERS = MappingProxyType(
    {
        "vi": "Loại: {kind}. Xem mọi cảnh báo: portalbus alerts --agency {agency}",
        "en": "Kind: {kind}. All alerts: portalbus alerts --agency {agency}",
        "zh": "类型：{kind}。查看全部告警：portalbus alerts --agency {agency}",
    }
)
ALL_FOOTERS = MappingProxyType({language: text.replace(" --agency {agency}", "") for language, text in FOOTERS.items()})


def letter(saying: Saying, mailbox: Mailbox, sender: str) -> EmailMessage:
    """The mail. Its Message-ID is that of what is said: sent again it is the same mail, and an update is another."""
    message = EmailMessage()
    alert = saying.alert
    about = "/".join(filter(None, (alert.agency, alert.portal))) or alert.kind
    message["Subject"] = SUBJECTS[mailbox.language, saying.turn].format(about=about)
    message["From"] = sender
    message["To"] = mailbox.to
    message["Date"] = format_datetime(saying.made_at.astimezone(ZONE))
    message["Message-ID"] = message_id(saying.id, sender)
    if saying.turn is not Turn.OPENED:  # mail programs put it below the mail that opened it
        message["In-Reply-To"] = message["References"] = message_id(saying.first_id, sender)
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = mailbox.language
    footers = FOOTERS if alert.agency else ALL_FOOTERS
    text = getattr(alert.message, mailbox.language)
    message.set_content(
        f"{text}\n\n{footers[mailbox.language].format(kind=alert.kind, agency=alert.agency)}\n", cte="base64"
    )
    return message


def hook_body(alert: Alert) -> bytes:
    """The JSON of a webhook: the alert as it is on `central.alert`."""
    body = {"type": "portalbus.alert", "data": alert.model_dump(mode="json", exclude_none=True)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def message_id(name: str, sender: str) -> str:
    """The Message-ID of what has this name, sent from this address."""
    return f"<{name}@{sender.rpartition('@')[2]}>"
