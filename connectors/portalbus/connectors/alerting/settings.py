"""Who is told of alerts, and how: a TOML file; secrets stay in the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from portalbus.schemas.errors import PortalbusError

MAIL_ADDRESS = r"^[^\s@<>\",;]+@[^\s@<>\",;]+$"
Language = Literal["vi", "en", "zh"]
Address = Annotated[str, Field(pattern=MAIL_ADDRESS, max_length=254)]
Agency = Annotated[str, Field(pattern=r"^(\*|[A-Z][0-9]{2}(\.[0-9]+)*)$")]
EVERYTHING = "*"


class AlertingWrong(PortalbusError):
    """The file that says who is told of alerts cannot be used."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Smtp(_Strict):
    """The mail server. `tls` is `starttls`, `tls` from the first byte, or `none` for a server on the same machine.

    `password_env` names the environment variable that holds the password of `user`.
    """

    host: str
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    user: str = ""
    password_env: str = ""
    timeout: Annotated[float, Field(gt=0, le=300)] = 20.0


class Mailbox(_Strict):
    """An office that gets a mail for each alert of its agency; `*` is everything, for the operators of the centre."""

    agency: Agency
    to: Address
    language: Language = "vi"

    @property
    def name(self) -> str:
        """What its place is kept under."""
        return f"mail:{self.agency}:{self.to}"


class Hook(_Strict):
    """A receiver of webhooks (Standard Webhooks); `secret_env` names the variable with the secret `whsec_…`."""

    agency: Agency = EVERYTHING
    url: Annotated[str, Field(pattern=r"^https?://")]
    secret_env: str

    @property
    def name(self) -> str:
        """What its place is kept under."""
        return f"hook:{self.agency}:{self.url}"


class ReportKind(StrEnum):
    """What a report is about."""

    URGENT = "urgent"
    """Urgent cases that nobody has taken: at once when one stands before the Government, and daily."""
    SYNTHESIS = "synthesis"
    """The day before in figures, daily."""


class Report(_Strict):
    """A report by mail (`to`) or webhook (`url`, `secret_env`), every day from `at` on, time of Viet Nam.

    The synthesis is of the country, of an `agency` with its units, or of a `level`.
    """

    kind: ReportKind
    at: time = time(7)
    to: Address | None = None
    url: Annotated[str, Field(pattern=r"^(https?://|$)")] = ""
    secret_env: str = ""
    language: Language = "vi"
    agency: Annotated[str, Field(pattern=r"^[A-Z][0-9]{2}(\.[0-9]+)*$")] | None = None
    level: Literal["central", "ministry", "province", "unit"] | None = None

    @model_validator(mode="after")
    def _goes_to_one(self) -> Self:
        if bool(self.to) == bool(self.url):
            raise ValueError("name either a mailbox (to) or a webhook (url)")
        if self.kind is ReportKind.URGENT and (self.agency or self.level):
            raise ValueError("the report of urgent cases is of the whole country: name no agency and no level")
        return self

    @property
    def name(self) -> str:
        """What its row is kept under."""
        of = "/".join(filter(None, (self.agency, self.level))) or EVERYTHING
        return f"report:{self.kind}:{of}:{self.to or self.url}"


class AlertingSettings(_Strict):
    """The file as a whole."""

    smtp: Smtp | None = None
    mailbox: tuple[Mailbox, ...] = ()
    webhook: tuple[Hook, ...] = ()
    report: tuple[Report, ...] = ()


def read_settings(path: Path, environment: Mapping[str, str] = os.environ) -> AlertingSettings:
    """The settings of a file. Raises AlertingWrong, with every fault and its place."""
    try:
        found = AlertingSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise AlertingWrong(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise AlertingWrong(f"{path} is no TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise AlertingWrong(f"{path}: {faults}") from error
    _check(path, found, environment)
    return found


def _check(path: Path, found: AlertingSettings, environment: Mapping[str, str]) -> None:
    if not found.mailbox and not found.webhook and not found.report:
        raise AlertingWrong(f"{path} names nobody: add a [[mailbox]], a [[webhook]] or a [[report]]")
    if (found.mailbox or any(report.to for report in found.report)) and found.smtp is None:
        raise AlertingWrong(f"{path} names a mailbox and no mail server: add [smtp]")
    smtp = found.smtp
    if smtp and smtp.user and smtp.tls == "none" and smtp.host not in ("127.0.0.1", "localhost"):
        raise AlertingWrong(f"{path}: a password is not sent to {smtp.host} without TLS")
    variables = [hook.secret_env for hook in found.webhook]
    variables += [report.secret_env for report in found.report if report.url]
    if smtp and smtp.user:
        variables.append(smtp.password_env)
    for variable in variables:
        if not environment.get(variable):
            raise AlertingWrong(f"{path}: the environment variable {variable or '(none named)'} holds no secret")
