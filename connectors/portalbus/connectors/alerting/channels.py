"""How an alert gets to one recipient. Each raises NotTold, which says whether it is worth another try."""

from __future__ import annotations

import os
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from http.client import HTTPException
from typing import Protocol

from portalbus.connectors.alerting.letters import hook_body, letter
from portalbus.connectors.alerting.saying import Saying
from portalbus.connectors.alerting.settings import AlertingSettings, Hook, Mailbox, Smtp
from portalbus.connectors.push.signing import signed_headers

HOOK_TIMEOUT_S = 20.0


class NotTold(Exception):
    """An alert did not get there. `why` is a kind and a code; `final` when another try would end the same."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.final = final


class Channel(Protocol):
    """Somebody who is told of alerts."""

    @property
    def name(self) -> str:
        """What its place is kept under."""

    @property
    def agency(self) -> str:
        """Whose alerts it gets; `*` for all."""

    @property
    def kind(self) -> str:
        """`mail` or `webhook`."""

    def tell(self, saying: Saying) -> None:
        """Tells of one alert. Raises NotTold."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An office's mailbox."""

    smtp: Smtp
    mailbox: Mailbox
    kind: str = "mail"

    @property
    def name(self) -> str:
        """What its place is kept under."""
        return self.mailbox.name

    @property
    def agency(self) -> str:
        """Whose alerts it gets."""
        return self.mailbox.agency

    def tell(self, saying: Saying) -> None:
        """Sends one mail. Raises NotTold."""
        message = letter(saying, self.mailbox, self.smtp.sender)
        send_mail(self.smtp, message)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """A receiver says where it is in the file, not in an answer."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of webhooks that the operator named; the address is his, so it may lie in his own network."""

    hook: Hook
    kind: str = "webhook"

    @property
    def name(self) -> str:
        """What its place is kept under."""
        return self.hook.name

    @property
    def agency(self) -> str:
        """Whose alerts it gets."""
        return self.hook.agency

    def tell(self, saying: Saying) -> None:
        """Posts one alert. Raises NotTold."""
        body = hook_body(saying.alert)
        post_hook(self.hook.url, self.hook.secret_env, saying.id, body)


def channels(settings: AlertingSettings) -> list[Channel]:
    """Everybody whom the settings name."""
    found: list[Channel] = [Webhook(hook) for hook in settings.webhook]
    if settings.smtp is not None:
        found += [Mail(settings.smtp, mailbox) for mailbox in settings.mailbox]
    return found


def send_mail(smtp: Smtp, message: EmailMessage) -> None:
    """Gives a mail to the server. Raises NotTold."""
    try:
        with _server(smtp) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        code = next(iter(refused.recipients.values()))[0]
        raise NotTold(f"recipient refused: {code}", final=code >= 500) from None
    except smtplib.SMTPResponseException as error:
        # A sender or a login that is refused is mended by people: it is tried again until they have.
        raise NotTold(f"{type(error).__name__}: {error.smtp_code}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise NotTold(type(error).__name__) from None


def post_hook(url: str, secret_env: str, webhook_id: str, body: bytes) -> None:
    """Posts a signed webhook. Raises NotTold."""
    headers = signed_headers([os.environ[secret_env]], webhook_id, int(time.time()), body)
    request = urllib.request.Request(  # noqa: S310 - the settings allow http and https alone
        url, body, {**headers, "content-type": "application/json"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=HOOK_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        raise NotTold(f"HTTP {error.code}", final=error.code == 410) from None
    except (OSError, HTTPException) as error:
        raise NotTold(type(error).__name__) from None


def _server(smtp: Smtp) -> smtplib.SMTP:
    if smtp.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            smtp.host, smtp.port, timeout=smtp.timeout, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout)
    try:
        if smtp.tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        if smtp.user:
            server.login(smtp.user, os.environ[smtp.password_env])
    except BaseException:
        server.close()
        raise
    return server
