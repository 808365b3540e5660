"""Publishes one event over the HTTP gateway with Python's standard library: http_client.py TYPE FILE ID."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ATTEMPTS = 8


def main() -> int:
    """Posts until there is an answer; 0 when the bus has the event."""
    _, kind, file, event_id = sys.argv
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": os.environ["GATEWAY_SOURCE"],
        "type": f"portalbus.events.{kind}",
        "data": json.loads(Path(file).read_text(encoding="utf-8")),
    }
    headers = {
        "Authorization": f"Bearer {os.environ['GATEWAY_KEY']}",
        "Content-Type": "application/cloudevents+json",
        "Accept-Language": os.environ.get("GATEWAY_LANGUAGE", "vi"),
    }
    address = os.environ["GATEWAY_URL"] + "/v1/events"
    for attempt in range(ATTEMPTS):
        request = urllib.request.Request(address, json.dumps(event).encode(), headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the address that was given
                print(answer.status, answer.read().decode())
                return 0
        except urllib.error.HTTPError as error:
            if error.code not in (408, 429) and error.code < 500:
                print(error.code, error.read().decode())
                return 1
        except OSError:
            pass  # not there yet: the same event again
        time.sleep(min(2**attempt, 30))
    return 2


if __name__ == "__main__":
    sys.exit(main())
