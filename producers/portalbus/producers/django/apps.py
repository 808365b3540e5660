"""The app as Django knows it."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_started

from portalbus.producers.django.app_settings import app_settings
from portalbus.producers.django.relaying import relay_in_this_process


class PortalbusConfig(AppConfig):
    """The tables of the outbox; with `THREAD` the relay runs beside the requests, from the first one on."""

    name = "portalbus.producers.django"
    label = "portalbus"
    verbose_name = "Portalbus outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Checks the settings; starts nothing: whoever serves requests may fork before the first one."""
        if app_settings().thread:
            request_started.connect(relay_in_this_process, dispatch_uid="portalbus-relay")
