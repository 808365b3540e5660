"""What a forger tries at the HTTP gateway: in another agency's name, and with keys that are not its own."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any, NamedTuple

import httpx2

from bus_events import answer
from forged_events import MISMATCH, NOT_YOURS
from gateway_process import GatewayProcess, cloud_event, post
from honest_agencies import Belongings
from portal_events import directive, feedback
from portalbus.connectors.gateway.keys import id_of
from portalbus.producers import new_event_id

UNKNOWN_KEY = "401 gateway.key-unknown"
GATE = "gate"
"""The portal that forgers speak as over the gateway."""
FORBIDDEN = f"403 {MISMATCH}"


class Answered(NamedTuple):
    """One attempt: how, what, the answer that it has to get, and the one it got.

    `event_id` is that of an event which the gateway passes on, for the centre to refuse; `key_id` that of the key.
    """

    way: str
    what: str
    wanted: str
    got: str
    event_id: str | None = None
    key_id: str | None = None


class ForgerAtGateway:
    """Has a key of its own for its portal, and one that was revoked; and knows the ids of other agencies' keys."""

    def __init__(self, gateway: GatewayProcess, agency: str) -> None:
        self._gateway = gateway
        self.agency = agency
        self._key = gateway.key(agency, GATE)
        self._revoked = gateway.key(agency, None)

    def revoke(self) -> None:
        """Loses the second key; returns when the gateway has heard of it."""
        self._gateway.revoke(self._revoked)
        deadline = time.monotonic() + 10
        with self._gateway.client(self._revoked) as client:
            while client.get("/v1/verdicts", params={"portal": GATE}).status_code != 401:
                assert time.monotonic() < deadline

    def tries(self, victim: Belongings, key_of_victim: str, idempotency_key: str) -> Iterator[Answered]:
        """Everything against one agency; of its key only the id is used, of its requests the `Idempotency-Key`."""
        with self._gateway.client(self._key) as mine:
            yield from self._in_its_name(mine, victim.agency, idempotency_key)
            yield from self._of_what_it_has(mine, victim)
        key_id = "_".join(key_of_victim.split("_")[:2])
        own_secret = self._key.split("_", 2)[2]
        for what, key in (
            ("a revoked key", self._revoked),
            ("the id of its key and one's own secret", f"{key_id}_{own_secret}"),
            ("the id of its key and a guess", f"{key_id}_{token_urlsafe(32)}"),
            ("half of a key", key_id),
        ):
            with self._gateway.client(key) as client:
                said = post(client, _event(victim.agency))
            yield Answered("key", what, UNKNOWN_KEY, _short(said), key_id=id_of(key))
        with self._gateway.client() as client:
            basic = base64.b64encode(f"{victim.agency}:{key_id}".encode()).decode()
            said = post(client, _event(victim.agency), Authorization=f"Basic {basic}")
            yield Answered("key", "another kind of login", "401 gateway.key-missing", _short(said))

    def _in_its_name(self, client: httpx2.Client, victim: str, idempotency_key: str) -> Iterator[Answered]:
        for what, source in (
            ("a source", f"/{victim}/www"),
            ("a source in small letters", f"/{victim.lower()}/www"),
            ("a source in the old form", f"/000.00.00.{victim}/www"),
        ):
            yield Answered("field", what, FORBIDDEN, _short(post(client, _event(victim, source))))
        event = _event(victim)
        headers = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
        said = client.post(
            "/v1/events", content=json.dumps(event["data"]), headers={"Content-Type": "application/json", **headers}
        )
        yield Answered("header", "ce-source", FORBIDDEN, _short(said))
        said = post(client, _event(victim), **{"Idempotency-Key": idempotency_key})
        yield Answered("replay", "its Idempotency-Key", FORBIDDEN, _short(said))
        told = post(client, [_event(victim), _event(victim)])
        results = told.json()["results"]
        both = {f"{result['status']} {result['problem']['rule']}" for result in results}
        yield Answered("field", "a batch", f"207 {FORBIDDEN}", f"{told.status_code} {' '.join(sorted(both))}")
        portal = client.get("/v1/verdicts", params={"portal": "web"})
        yield Answered("field", "another portal's verdicts", "403 gateway.portal-not-yours", _short(portal))

    def _of_what_it_has(self, client: httpx2.Client, victim: Belongings) -> Iterator[Answered]:
        own = f"/{self.agency}/{GATE}"
        named = _event(self.agency, own)
        named["data"]["agency"] = victim.agency
        yield Answered("field", "an agency in the data", "422 schema.field-unknown", _short(post(client, named)))
        case = cloud_event(feedback(80, agency=victim.agency), own)
        wanted = "422 case.id-names-receiver"
        yield Answered("field", "a case under its number", wanted, _short(post(client, case)))
        for way, case_id, event_id in (
            ("field", victim.open_case.case_id, new_event_id()),
            ("replay", victim.open_case.case_id, victim.ids[1]),
        ):
            said = cloud_event(answer(case_id, answered_at=datetime.now(UTC)), own, id=event_id)
            passed_on = post(client, said)
            yield Answered(way, "an answer to its case", f"202 {NOT_YOURS}", str(passed_on.status_code), event_id)
        told = client.get("/v1/verdicts", params={"event_id": victim.directive.event_id})
        heard = f"{told.status_code} {len(told.json()['verdicts'])} verdicts"
        yield Answered("replay", "the verdict on its event", "200 0 verdicts", heard)


def _event(agency: str, source: str = "") -> dict[str, Any]:
    return cloud_event(directive(81), source or f"/{agency}/www")


def _short(answer: httpx2.Response) -> str:
    """Status and rule, or the whole answer where there is no rule."""
    return f"{answer.status_code} {answer.json().get('rule', answer.text)}"
