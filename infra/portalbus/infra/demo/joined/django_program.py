"""A Django portal in one file: each line of its input is published in the transaction that stores it.

    python -m portalbus.infra.demo.joined.django_program PORTAL.sqlite AGENCY PORTAL

A line is `{"type", "event_id", "occurred_at", "data"}`; the answer is one line: the event's id, once it is committed.
Where the bus is stands in the environment, as for every portal. The relay is a thread of this process.
"""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

PATIENCE_S = 30.0


def main(database: str, agency: str, portal: str) -> None:
    """Publishes what is asked for until the input ends, then waits until the relay has moved all of it."""
    import django
    import structlog
    from django.conf import settings

    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))  # the answers are on stdout
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        INSTALLED_APPS=["portalbus.producers.django"],
        PORTALBUS={"AGENCY": agency, "PORTAL": portal, "CANARY": 0},
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from portalbus.producers.django.relaying import intents, make_relay

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists van_ban (ma text primary key, tieu_de text not null)")
    with make_relay() as relay:
        print("ready", flush=True)
        for line in sys.stdin:
            print(_publish(json.loads(line)), flush=True)
            relay.wake()
        deadline = time.monotonic() + PATIENCE_S
        while intents().counts().waiting and time.monotonic() < deadline:
            time.sleep(0.05)
        relay.portal.flush(PATIENCE_S)


def _publish(said: dict[str, Any]) -> str:
    from django.db import connection, transaction

    from portalbus.producers.django import publish
    from portalbus.producers.draft import payload_from_json

    payload = payload_from_json(said["type"], said["data"])
    with transaction.atomic():
        with connection.cursor() as cursor:
            put = "insert into van_ban values (%s, %s) on conflict (ma) do update set tieu_de = excluded.tieu_de"
            cursor.execute(put, (said["data"]["directive_id"], said["data"]["title"]))
        occurred_at = datetime.fromisoformat(said["occurred_at"])
        return publish(payload, event_id=said["event_id"], occurred_at=occurred_at).event_id


if __name__ == "__main__":
    main(*sys.argv[1:])
