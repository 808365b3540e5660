"""The relay of a portal with a database, as its operator would start it; the bus is in the environment.

usage: intent_relay_process.py KIND DATABASE_URL [COMMAND …]
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command of SQLAlchemy's outbox, or Django's."""
    kind, url, *command = sys.argv[1:]
    if kind == "sqlalchemy":
        from portalbus.producers.sql_outbox.__main__ import main as run

        os.environ["PORTALBUS_PORTAL_DATABASE"] = url
        sys.exit(run(command))
    from intent_portals import add_django_database

    alias = add_django_database(url)
    from django.conf import settings
    from django.core.management import call_command

    settings.PORTALBUS["DATABASE"] = alias
    call_command("portalbus_relay", *command)


if __name__ == "__main__":
    main()
