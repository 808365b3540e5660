"""A process that leads, or stands by, and says which: `python leading_process.py URL SILENT_SECONDS BUSY_SECONDS`.

Its work is to be busy: one transaction after the other in which the database hears nothing of it for so long.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.leading import leading
from portalbus.streams.ledger.locks import AdvisoryLock

if __name__ == "__main__":
    url, silent, busy = sys.argv[1], timedelta(seconds=float(sys.argv[2])), float(sys.argv[3])
    never = threading.Event()
    with connect(url, application="leads", autocommit=True) as connection:
        print("waits", flush=True)
        with leading(connection, AdvisoryLock.CASEWORK, never, url, silent) as leads:
            print("leads" if leads else "told to stop", flush=True)
            while not never.wait(busy):
                connection.execute("select 1")
                print("worked", flush=True)
