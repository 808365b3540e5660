"""A web application that publishes one event a request, through a portal that was used before the server forked."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from portal_events import feedback
from portalbus.producers import Portal

portal = Portal.from_env()
at_import = portal.publish(feedback(0))
numbers = itertools.count(1)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """WSGI: publishes and answers with the receipt once the event is durable."""
    receipt = portal.publish(feedback(os.getpid() * 1_000 % 900_000 + next(numbers) % 1_000))
    body = json.dumps({"pid": os.getpid(), "sequence": receipt.sequence, "id": receipt.event_id}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
