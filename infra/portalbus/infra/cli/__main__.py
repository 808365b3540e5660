"""`python -m portalbus.infra.cli` is `portalbus`."""

import sys

from portalbus.infra.cli import main

sys.exit(main())
