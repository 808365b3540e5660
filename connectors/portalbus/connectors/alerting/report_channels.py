"""How a report gets to its recipient: a mail with text and HTML, or a signed webhook with both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol

from portalbus.connectors.alerting.channels import post_hook, send_mail
from portalbus.connectors.alerting.document import Document, as_html, as_text
from portalbus.connectors.alerting.letters import message_id
from portalbus.connectors.alerting.settings import AlertingSettings, Report, Smtp
from portalbus.schemas.zone import ZONE


class ReportChannel(Protocol):
    """Somebody who is sent a report."""

    @property
    def report(self) -> Report:
        """Which one, and when."""

    @property
    def name(self) -> str:
        """What its row is kept under."""

    @property
    def kind(self) -> str:
        """`mail` or `webhook`."""

    def send(self, name: str, document: Document, now: datetime) -> None:
        """Sends a report under its id. Raises NotTold."""


@dataclass(frozen=True, slots=True)
class MailedReport:
    """A report by mail."""

    smtp: Smtp
    report: Report
    kind: str = "mail"

    @property
    def name(self) -> str:
        """What its row is kept under."""
        return self.report.name

    def send(self, name: str, document: Document, now: datetime) -> None:
        """Sends one mail. Raises NotTold."""
        message = EmailMessage()
        message["Subject"] = f"[portalbus] {document.title}"
        message["From"] = self.smtp.sender
        message["To"] = self.report.to
        message["Date"] = format_datetime(now.astimezone(ZONE))
        message["Message-ID"] = message_id(name, self.smtp.sender)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(as_text(document), cte="base64")
        message.add_alternative(as_html(document), subtype="html", cte="base64")
        message["Content-Language"] = document.language  # of the whole: set earlier, it would be that of the text alone
        send_mail(self.smtp, message)


@dataclass(frozen=True, slots=True)
class PostedReport:
    """A report by webhook."""

    report: Report
    kind: str = "webhook"

    @property
    def name(self) -> str:
        """What its row is kept under."""
        return self.report.name

    def send(self, name: str, document: Document, now: datetime) -> None:
        """Posts it. Raises NotTold."""
        data = {
            "id": name,
            "kind": self.report.kind,
            "language": document.language,
            "made_at": now.isoformat(),
            "title": document.title,
            "text": as_text(document),
            "html": as_html(document),
        }
        body = json.dumps({"type": "portalbus.report", "data": data}, ensure_ascii=False).encode()
        post_hook(self.report.url, self.report.secret_env, name, body)


def report_channels(settings: AlertingSettings) -> list[ReportChannel]:
    """Everybody whom the settings name for a report."""
    return [
        PostedReport(report) if report.url or settings.smtp is None else MailedReport(settings.smtp, report)
        for report in settings.report
    ]
