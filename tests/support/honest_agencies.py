"""Agencies that speak for themselves alone, by the SDK and over the gateway, and what they have on the bus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bare_kafka import Record
from bus_events import answer
from gateway_process import GatewayProcess, cloud_event, post
from portal_events import directive, feedback
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal, Receipt
from portalbus.schemas.models import FeedbackReceived, Payload
from portalbus.schemas.topics import lane_of

Reading = Callable[[str], list[Record]]
"""Gives everything that a topic holds."""
AT_ONCE = 10
WEB = "web"
"""The portal that comes over the gateway; the one with the SDK is `www`."""

ROWS = (
    "select to_jsonb(d) from ledger.directive d where key = %(directive)s",
    "select to_jsonb(v) from ledger.directive_version v where key = %(directive)s order by version",
    "select to_jsonb(c) from ledger.case c where case_id = any(%(cases)s) order by case_id",
    "select to_jsonb(s) from ledger.case_step s where case_id = any(%(cases)s) order by position",
    "select to_jsonb(e) from ledger.event e where agency = %(agency)s and event_id = any(%(ids)s::uuid[])"
    " and claims_id order by lane_offset",
)


@dataclass(frozen=True)
class Belongings:
    """What an agency has on the bus, and another one may be after: a directive, an open case, a case with an answer.

    `record` is the directive's, as it lies on the lane.
    """

    agency: str
    directive: Receipt
    open_case: FeedbackReceived
    answered_case: str
    answer: Receipt
    ids: tuple[str, ...]
    record: Record

    def as_stored(self, look: psycopg.Connection[Any]) -> list[list[tuple[Any, ...]]]:
        """Every row that the ledger has of them."""
        asked = {
            "agency": self.agency,
            "directive": self.directive.key,
            "cases": [self.open_case.case_id, self.answered_case],
            "ids": list(self.ids),
        }
        return [look.execute(query, asked).fetchall() for query in ROWS]


@dataclass
class HonestAgency:
    """An agency with a portal of each kind; `said` are the ids of everything that it published."""

    code: str
    portal: Portal
    gateway: GatewayProcess
    said: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls, code: str, login: Mapping[str, str], endpoints: Endpoints, gateway: GatewayProcess, outbox: Path
    ) -> HonestAgency:
        """Logs its portal in."""
        kafka, registry = endpoints.bootstrap, endpoints.registry_url
        portal = Portal(code, bootstrap=kafka, registry_url=registry, outbox=outbox, canary=0, kafka=login)
        return cls(code, portal.start(), gateway)

    def settle(self, look: Reading) -> Belongings:
        """Publishes what it is to have; returns when the broker has it. `look` reads for who may read lanes."""
        open_case, other = feedback(1, agency=self.code), feedback(2, agency=self.code)
        receipts = self.publish(directive(1), open_case, other, answer(other.case_id, answered_at=datetime.now(UTC)))
        assert self.portal.flush(60), self.portal.status().last_error
        key = receipts[0].key.encode()
        record = next(record for record in look(lane_of(self.code)) if record.key == key)
        ids = tuple(receipt.event_id for receipt in receipts)
        return Belongings(self.code, receipts[0], open_case, other.case_id, receipts[3], ids, record)

    def publish(self, *payloads: Payload) -> list[Receipt]:
        """Says these by the SDK."""
        receipts = self.portal.publish_many(payloads)
        self.said += [receipt.event_id for receipt in receipts]
        return receipts

    def receive(self, cases: Iterable[str]) -> None:
        """Receives the cases with these ids."""
        self.publish(*(feedback(1, agency=self.code).model_copy(update={"case_id": case}) for case in cases))

    def work(self, events: int) -> None:
        """Publishes so many events, half of them by each way, ten at a time."""
        with self.gateway.client(self.gateway.key(self.code, WEB)) as client:
            for first in range(1_000, 1_000 + events // 2, AT_ONCE // 2):
                by_sdk, over_gateway = (self._day(first + start) for start in (0, 100_000))
                self.publish(*by_sdk)
                batch = [cloud_event(payload, f"/{self.code}/{WEB}") for payload in over_gateway]
                told = post(client, batch).json()
                if told.get("accepted") != len(batch):
                    self.refused.append(str(told))
                self.said += [event["id"] for event in batch]

    def _day(self, first: int) -> list[Payload]:
        """Five events: two cases, an answer, a directive and its revision."""
        cases = [feedback(first + more, agency=self.code) for more in (0, 1)]
        done = answer(cases[0].case_id, answered_at=datetime.now(UTC))
        return [*cases, done, directive(first), directive(first, version=2)]
