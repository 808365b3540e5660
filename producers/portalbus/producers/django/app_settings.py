"""What Django's settings say about the portal."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from portalbus.producers.settings import settings_from_env

OWN = ("DATABASE", "THREAD")


@dataclass(frozen=True, slots=True)
class AppSettings:
    """`PORTALBUS` of the settings file.

    `DATABASE` is the alias of the database with the outbox, `THREAD` lets the relay run inside the web processes. All
    other keys are arguments of `Portal` and `IntentRelay` in capitals: AGENCY, PORTAL, OUTBOX, BOOTSTRAP, REGISTRY_URL,
    KAFKA, VERDICTS, KEEP_DAYS and so on. What is not there is looked for in the environment, as `Portal.from_env` does.
    """

    agency: str
    portal: str
    database: str
    thread: bool
    given: Mapping[str, Any]

    def relay_options(self) -> dict[str, Any]:
        """The arguments of a relay. Raises ImproperlyConfigured naming what is missing."""
        try:
            found = {**settings_from_env(given=self.given), **self.given}
        except ValueError as error:
            raise ImproperlyConfigured(f"{error}, or give it in PORTALBUS of the settings") from None
        del found["agency"]
        found.pop("portal", None)
        return found


def app_settings() -> AppSettings:
    """The settings as they are now. Raises ImproperlyConfigured."""
    said = getattr(settings, "PORTALBUS", None) or {}
    if not isinstance(said, Mapping):
        raise ImproperlyConfigured("PORTALBUS in the settings is a dictionary: {'AGENCY': 'H26', …}")
    given = {name.lower(): value for name, value in said.items() if name not in OWN}
    elsewhere = dict.fromkeys(("bootstrap", "registry_url", "outbox", "agency"), "")
    env = settings_from_env(given=elsewhere)
    agency = given.get("agency", env.get("agency", ""))
    if not agency:
        raise ImproperlyConfigured("set AGENCY in PORTALBUS of the settings, or PORTALBUS_AGENCY in the environment")
    portal = given.get("portal", env.get("portal", "www"))
    return AppSettings(
        agency, portal, said.get("DATABASE", "default"), bool(said.get("THREAD")), {**given, "agency": agency}
    )
