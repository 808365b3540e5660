"""A portal's process for tests that end it: gives signs of life until its standard input ends.

What it reads there are names of directives, one a line: it publishes each, and nothing else.

usage: heartbeat_process.py FOLDER AGENCY PORTAL BOOTSTRAP REGISTRY_URL HEARTBEAT_SECONDS CANARY_SECONDS [AHEAD_SECONDS]
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bus_events import directive
from off_clock import clock_ahead
from portalbus.producers import Portal


def main() -> None:
    """Opens the portal, says so, and waits to be told what to publish, or to end."""
    folder, agency, portal, bootstrap, registry_url, heartbeat, canary, *ahead = sys.argv[1:]
    clock = clock_ahead(timedelta(seconds=float(*ahead)))
    with (
        clock,
        Portal(
            agency,
            portal,
            outbox=Path(folder),
            bootstrap=bootstrap,
            registry_url=registry_url,
            heartbeat=float(heartbeat),
            canary=float(canary),
        ) as opened,
    ):
        print("open", flush=True)
        for name in sys.stdin:
            opened.publish(directive(name.strip()))


if __name__ == "__main__":
    main()
