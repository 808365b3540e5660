"""Settings of a small Django portal. Where the bus is comes from the environment: PORTALBUS_BOOTSTRAP and so on."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(os.environ.get("PORTAL_FOLDER", Path(__file__).parent))
SECRET_KEY = os.environ.get("SECRET_KEY", "only for a machine of one's own")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "cases.urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "portal.sqlite"}}
INSTALLED_APPS = ["portalbus.producers.django", "cases"]
MIDDLEWARE = ["cases.views.Refusals"]
PORTALBUS = {
    "AGENCY": os.environ.get("PORTALBUS_AGENCY", "H26"),
    "PORTAL": "django",
    # The relay runs beside the requests. A larger portal runs `manage.py portalbus_relay` as a service instead.
    "THREAD": True,
}
