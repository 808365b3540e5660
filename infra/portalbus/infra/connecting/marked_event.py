"""Sends a marked event through the whole bus and waits for its verdict: a canary, which is shown to nobody."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portalbus.producers import Portal, new_event_id
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.models import Canary, Verdict, VerdictStatus

INTERVAL_S = 86_400
"""What the event says of the next one. Nobody waits for it: a source that says good-bye promises nothing."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the marked event; `trouble` says what is in the way when there is no verdict."""

    event_id: str
    verdict: Verdict | None = None
    trouble: str = ""
    seconds: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the centre has taken it."""
        return self.verdict is not None and self.verdict.status is VerdictStatus.ACCEPTED


def send_by_sdk(
    agency: str, portal: str, bootstrap: str, registry_url: str, outbox: Path, kafka: dict[str, str], patience_s: float
) -> Answer:
    """Publishes it through the source's own outbox. Raises ValueError for settings that cannot be."""
    event_id, began = new_event_id(), time.monotonic()
    speaker = Portal(
        agency, portal, bootstrap=bootstrap, registry_url=registry_url, outbox=outbox, verdicts=True, kafka=kafka
    )
    with speaker:
        try:
            speaker.publish(Canary(interval_s=INTERVAL_S), event_id=event_id)
            verdict = speaker.wait_for_verdict(event_id, patience_s)
            trouble = "" if verdict else _trouble(speaker)
        except PortalbusError as error:
            return Answer(event_id, trouble=str(error))
    return Answer(event_id, verdict, trouble, time.monotonic() - began)


def send_by_gateway(url: str, key: str, source: str, language: str, patience_s: float) -> Answer:
    """Posts it to the gateway, and asks for the verdict."""
    event_id, began = new_event_id(), time.monotonic()
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/{source}",
        "type": f"portalbus.events.{Canary.event_type}",
        "data": {"interval_s": INTERVAL_S},
    }
    status, said = _ask(f"{url}/v1/events", key, language, json.dumps(event).encode())
    if status != 202:
        return Answer(event_id, trouble=_words(status, said))
    question = urllib.parse.urlencode({"event_id": event_id, "wait": f"{patience_s:g}"})
    status, said = _ask(f"{url}/v1/verdicts?{question}&portal={source.partition('/')[2]}", key, language)
    verdicts = said.get("verdicts", []) if status == 200 else []
    if not verdicts:
        return Answer(event_id, trouble=_words(status, said) if status != 200 else "no verdict came back yet")
    return Answer(event_id, Verdict.model_validate(verdicts[-1]), seconds=time.monotonic() - began)


def _trouble(portal: Portal) -> str:
    status = portal.status()
    if status.last_error:
        return status.last_error
    if status.undelivered:
        return "the broker has not acknowledged it yet"
    return "the broker has it, and no verdict came back yet: does a worker run?"


def _ask(address: str, key: str, language: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": language}
    if body is not None:
        headers["Content-Type"] = "application/cloudevents+json"
    request = urllib.request.Request(address, body, headers)  # noqa: S310 - the address that was given
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            return answer.status, _object(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _object(error.read())
    except (OSError, ValueError) as error:
        return 0, {"detail": f"{address}: {error}"}


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _words(status: int, said: dict[str, Any]) -> str:
    rule = f"[{said['rule']}] " if "rule" in said else ""
    return f"{status or 'no answer'}: {rule}{said.get('detail', '')}"
