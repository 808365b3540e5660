"""Django's command of this portal: `python manage.py migrate`, `runserver`, `portalbus_relay`."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal_settings")
    execute_from_command_line(sys.argv)
