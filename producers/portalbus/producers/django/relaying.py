"""The relay of a Django portal: made from the settings, run by the command or beside the requests."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from portalbus.producers.django.app_settings import app_settings
from portalbus.producers.django.django_transactions import DjangoTransactions

if TYPE_CHECKING:
    from portalbus.producers.intents.intent_table import IntentTable
    from portalbus.producers.intents.relay import IntentRelay

_starting = threading.Lock()
_relays: dict[int, IntentRelay] = {}


def intents() -> IntentTable:
    """The committed intents, for whoever looks or decides: `counts`, `parked`, `redrive`, `discard`."""
    from portalbus.producers.intents.intent_table import IntentTable

    settings = app_settings()
    return IntentTable(DjangoTransactions(settings.database), settings.agency, settings.portal)


def make_relay(**options: Any) -> IntentRelay:
    """A relay as the settings say; `options` go before them. Raises ImproperlyConfigured naming what is missing."""
    from portalbus.producers.intents.relay import IntentRelay

    return IntentRelay(intents(), **{**app_settings().relay_options(), **options})


def relay_in_this_process(**_: Any) -> None:
    """Starts the relay's thread, once in each process; a signal receiver."""
    if os.getpid() not in _relays:
        with _starting:
            if os.getpid() not in _relays:
                _relays[os.getpid()] = make_relay().start()


def wake_relay() -> None:
    """Lets the relay of this process look at once, if there is one."""
    if (relay := _relays.get(os.getpid())) is not None:
        relay.wake()
