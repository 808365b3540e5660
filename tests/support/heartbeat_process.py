"""A portal's process for tests that end it: gives signs of life and publishes nothing, until its standard input ends.

usage: heartbeat_process.py FOLDER AGENCY PORTAL BOOTSTRAP REGISTRY_URL HEARTBEAT_SECONDS CANARY_SECONDS
"""

from __future__ import annotations

import sys
from pathlib import Path

from portalbus.producers import Portal


def main() -> None:
    """Opens the portal, says so, and waits to be told to end."""
    folder, agency, portal, bootstrap, registry_url, heartbeat, canary = sys.argv[1:]
    with Portal(
        agency,
        portal,
        outbox=Path(folder),
        bootstrap=bootstrap,
        registry_url=registry_url,
        heartbeat=float(heartbeat),
        canary=float(canary),
    ):
        print("open", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
