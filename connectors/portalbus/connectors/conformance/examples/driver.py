"""A portal in one file, with nothing but Python's standard library, and the driver by which the kit examines it.

    python driver.py 9000 state.sqlite

    portalbus conformance --target http://127.0.0.1:9000/ --start "python driver.py 9000 state.sqlite"

What a portal has to do is in `Sender`; what only the kit needs is in `Driver`.
"""

import json
import sqlite3
import sys
import threading
import time
import unicodedata
import uuid
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
TRY_AGAIN = (401, 408, 425, 429)  # of the 4xx; with 401 somebody has to mend the key first
OURS = uuid.UUID("0b5d5d2c-7b3f-4d57-9a52-5a1f6f2f9c11")  # any UUID, chosen once for a portal

TABLES = """
create table if not exists setting (name text primary key, value text not null);
create table if not exists event (
    reference text primary key,      -- the portal's own name for the change; the event id is made of it
    place integer not null unique,   -- events go out in this order
    body text not null,
    state text not null,             -- kept, delivered, refused
    rule text, path text
);
"""


class Sender:
    """Stores events beside the portal's own data, and sends them in order until the bus has answered."""

    def __init__(self, database: str) -> None:
        self._database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._database.execute("pragma synchronous = full")
        self._database.executescript(TABLES)
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._not_before = 0.0
        self._pause = SHORTEST_PAUSE

    def connect(self, gateway: str, api_key: str) -> None:
        """Remembers where the gateway is; a restart finds it again."""
        self._save("gateway", gateway)
        self._save("api_key", api_key)

    def publish(self, reference: str, source: str, event_type: str, data: Any, correlation: str | None = None) -> None:
        """Keeps an event. In a portal this happens in the transaction that changes the document."""
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid5(OURS, reference)),  # made once: the same change is the same event
            "source": source,
            "type": event_type,
            "data": data,
        }
        if correlation:
            event["correlationid"] = correlation
        body = unicodedata.normalize("NFC", json.dumps(event, ensure_ascii=False))
        with self._lock:
            self._database.execute(
                "insert or ignore into event (reference, place, body, state)"
                " values (?, (select coalesce(max(place), 0) + 1 from event), ?, 'kept')",
                (reference, body),
            )

    def deliver(self) -> int:
        """Sends what is waiting, in order, until nothing is left or the bus is not well. Returns how many are left."""
        if self._sending.acquire(blocking=False):  # one sender at a time keeps the order
            try:
                while time.monotonic() >= self._not_before and (event := self._next()) and self._send(*event):
                    pass
            finally:
                self._sending.release()
        with self._lock:
            (waiting,) = self._database.execute("select count(*) from event where state = 'kept'").fetchone()
        return int(waiting)

    def outcome(self, reference: str) -> tuple[str, str | None, str | None]:
        """What became of an event: state, rule and path."""
        with self._lock:
            row = self._database.execute(
                "select state, rule, path from event where reference = ?", (reference,)
            ).fetchone()
        return row or ("unknown", None, None)

    def _next(self) -> tuple[str, str] | None:
        with self._lock:
            query = "select reference, body from event where state = 'kept' order by place limit 1"
            found: tuple[str, str] | None = self._database.execute(query).fetchone()
        return found

    def _send(self, reference: str, body: str) -> bool:
        """Sends one event; True when the next one may go."""
        try:
            status, retry_after, answer = self._post(body)
        except (OSError, HTTPException):
            return self._wait(None)  # no answer: nobody knows whether it was taken, so it goes again, under its id
        if status < 300:
            self._settle(reference, "delivered")
        elif 400 <= status < 500 and status not in TRY_AGAIN:
            problem = answer if isinstance(answer, dict) else {}
            first = (problem.get("errors") or [{}])[0]
            self._settle(reference, "refused", problem.get("rule"), first.get("pointer"))
        else:
            return self._wait(retry_after)
        self._pause = SHORTEST_PAUSE
        return True

    def _post(self, body: str) -> tuple[int, str | None, Any]:
        address = urlsplit(self._load("gateway"))
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "Authorization": f"Bearer {self._load('api_key')}",
            "Accept-Language": "vi",
        }
        try:
            connection.request("POST", "/v1/events", body.encode(), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, answer.getheader("Retry-After"), json.loads(text)
        except ValueError:
            return answer.status, answer.getheader("Retry-After"), None

    def _wait(self, retry_after: str | None) -> bool:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._not_before = time.monotonic() + seconds
        return False

    def _settle(self, reference: str, state: str, rule: str | None = None, path: str | None = None) -> None:
        with self._lock:
            self._database.execute(
                "update event set state = ?, rule = ?, path = ? where reference = ?", (state, rule, path, reference)
            )

    def _save(self, name: str, value: str) -> None:
        with self._lock:
            self._database.execute("insert or replace into setting values (?, ?)", (name, value))

    def _load(self, name: str) -> str:
        with self._lock:
            (value,) = self._database.execute("select value from setting where name = ?", (name,)).fetchone()
        return str(value)


class Driver:
    """Makes the portal do what the kit says, one step at a time."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._portal = ""

    def take(self, step: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a step; None for one that there is not."""
        if step["do"] == "connect":
            self._portal = step["portal"]
            self._sender.connect(step["gateway"], step["api_key"])
            return {"name": "driver.py", "technology": f"Python {sys.version.split()[0]}, standard library"}
        if step["do"] == "publish":
            source = f"/{step['agency']}/{self._portal}"
            self._sender.publish(step["reference"], source, step["type"], step["data"], step.get("correlation"))
            return {"state": "kept"}
        if step["do"] == "deliver":
            return {"waiting": self._sender.deliver()}
        if step["do"] == "report":
            state, rule, path = self._sender.outcome(step["reference"])
            return {"state": state, "rule": rule, "path": path}
        return None


def serve(port: int, driver: Driver) -> None:
    """Takes steps until it is killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            step = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = driver.take(step)
            text = json.dumps(answer).encode()
            self.send_response(501 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Driver(Sender(sys.argv[2])))
