"""The transactional outbox of a Django portal: add `portalbus.producers.django` to INSTALLED_APPS, and migrate.

`publish()` belongs inside `transaction.atomic()`; `manage.py portalbus_relay` brings what was committed to the bus.
Needs the extra `portalbus[django]`. Settings lie in `PORTALBUS`, see `app_settings`.
"""

from __future__ import annotations

from portalbus.producers.django.publishing import publish
from portalbus.producers.django.relaying import intents, make_relay

__all__ = ["intents", "make_relay", "publish"]
