"""From the request to the answer: read, judged, stored, acknowledged by the bus, told item by item."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from portalbus.connectors.gateway.answer_book import Answer, AnswerBook, Remembered, request_digest
from portalbus.connectors.gateway.bodies import Room, read_body
from portalbus.connectors.gateway.gate import Gate
from portalbus.connectors.gateway.judging import LARGE_BYTES, Accepted, Judged, Refused, judged
from portalbus.connectors.gateway.keys import ApiKey
from portalbus.connectors.gateway.messages import PREFIX, Mode, mode_of, read_message
from portalbus.connectors.gateway.metrics import Metrics
from portalbus.connectors.gateway.problems import Refusal, problem_of_event, status_of, to_json
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.gateway.source import Outcome
from portalbus.connectors.gateway.sources import Sources
from portalbus.connectors.web.accept_language import preferred
from portalbus.producers.receipt import Receipt
from portalbus.schemas.errors import EventRefused

T = TypeVar("T")

ACCEPTED = 202
MIXED = 207
FAULTS_OF_ITEM = 5
JUDGING_THREADS = 2
LONGEST_KEY = 128
OWN_HEADERS = ("content-type", "traceparent")


class Intake:
    """Takes events in. `Idempotency-Key` makes any retry get the first answer; without one, the events' ids do."""

    def __init__(self, settings: Settings, gate: Gate, sources: Sources, book: AnswerBook, metrics: Metrics) -> None:
        self._settings = settings
        self._gate = gate
        self._sources = sources
        self._book = book
        self._metrics = metrics
        self._room = Room(settings.pending_bytes, settings.pending_requests)
        self._judging = ThreadPoolExecutor(JUDGING_THREADS, "gateway-judging")

    async def answer(self, key: ApiKey, request: Request) -> Answer:
        """The answer to a request with events. Raises Refusal when the request as a whole is refused."""
        mode = mode_of(request.headers)
        idempotency_key = _idempotency_key(request)
        self._gate.count(key, 1)
        with self._room.place() as place:
            body = await read_body(request, place, self._settings.body_bytes, self._settings.body_s)
            if idempotency_key is None:
                return await self._take(key, mode, request, body)
            digest = _digest(request, body)
            async with self._book.turn(key.agency, idempotency_key):
                return await self._once(key, mode, request, body, idempotency_key, digest)

    def close(self) -> None:
        """Ends its threads."""
        self._judging.shutdown(wait=False)

    async def _once(
        self, key: ApiKey, mode: Mode, request: Request, body: bytes, idempotency_key: str, digest: bytes
    ) -> Answer:
        known = await self._book.find(key.agency, idempotency_key)
        if known is not None:
            if known.digest != digest:
                raise Refusal("gateway.idempotency-key-reused")
            return known.answer
        answer = await self._take(key, mode, request, body)
        await self._book.keep(key.agency, idempotency_key, Remembered(digest, answer))
        return answer

    async def _take(self, key: ApiKey, mode: Mode, request: Request, body: bytes) -> Answer:
        traceparent = None if mode is Mode.BATCH else _traceparent(request)
        most = self._settings.batch_events
        events = await self._aside(body, lambda: read_message(mode, request.headers, body, most).events)
        if len(events) > 1:
            self._gate.count(key, len(events) - 1)
        size = len(body)
        found = await self._aside(body, lambda: [judged(event, key, size, traceparent) for event in events])
        outcomes = await self._publish(key, found)
        language = preferred(request.headers.get("accept-language", ""))
        items = [_item(one, outcome, key, language) for one, outcome in zip(found, outcomes, strict=True)]
        self._count(key, items)
        return _whole(items) if mode is Mode.BATCH else _single(found[0], outcomes[0], items[0], language)

    async def _aside(self, body: bytes, work: Callable[[], T]) -> T:
        """Does the work for a large body in a thread, so that other requests go on."""
        if len(body) <= LARGE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._judging, work)

    async def _publish(self, key: ApiKey, found: Sequence[Judged]) -> list[Outcome | None]:
        """What became of each event that no rule refused, once the broker has all of them; None for the others."""
        by_portal: dict[str, list[int]] = {}
        for index, one in enumerate(found):
            if isinstance(one, Accepted):
                by_portal.setdefault(one.portal, []).append(index)
        outcomes: list[Outcome | None] = [None] * len(found)
        began = time.perf_counter()

        async def publish(portal: str, places: list[int]) -> None:
            source = await self._sources.get(key.agency, portal, bound=key.portal is not None)
            drafts = [one.draft for index in places if isinstance(one := found[index], Accepted)]
            for index, outcome in zip(places, await source.take(drafts), strict=True):
                outcomes[index] = outcome

        if len(by_portal) == 1:
            ((portal, places),) = by_portal.items()
            await publish(portal, places)
        elif by_portal:
            await asyncio.gather(*(publish(portal, places) for portal, places in by_portal.items()))
        if by_portal:
            self._metrics.acknowledged.observe(time.perf_counter() - began)
        return outcomes

    def _count(self, key: ApiKey, items: Sequence[dict[str, Any]]) -> None:
        accepted = 0
        for item in items:
            if item["status"] == ACCEPTED:
                accepted += 1
            else:
                self._metrics.refused.labels(key.agency, item["problem"]["rule"]).inc()
        if accepted:
            self._metrics.took(key.agency, accepted)


def _item(one: Judged, outcome: Outcome | None, key: ApiKey, language: str) -> dict[str, Any]:
    """What became of one event, as told in a batch. The same words for the same event, whenever it comes."""
    if isinstance(outcome, Receipt) and isinstance(one, Accepted):
        return {
            "status": ACCEPTED,
            "id": outcome.event_id,
            "source": f"/{key.agency}/{one.portal}",
            "sequence": outcome.sequence,
            "epoch": outcome.epoch,
            "key": outcome.key,
        }
    refused = _refused(one, outcome)
    problem = problem_of_event(refused.findings, refused.event_type, language, most=FAULTS_OF_ITEM)
    return {"status": problem["status"], "id": refused.event_id, "problem": problem}


def _refused(one: Judged, outcome: Outcome | None) -> Refused:
    """The refusal of an event, by its rules or by the outbox."""
    if isinstance(one, Refused):
        return one
    findings = outcome.findings if isinstance(outcome, EventRefused) else ()
    moved = tuple(type(finding)(finding.rule, "/id", finding.params) for finding in findings)
    return Refused(one.draft.event_id, one.draft.event_type, moved)


def _single(one: Judged, outcome: Outcome | None, item: dict[str, Any], language: str) -> Answer:
    if item["status"] == ACCEPTED:
        return Answer(ACCEPTED, to_json(item))
    refused = _refused(one, outcome)
    return Answer(
        status_of(refused.findings), to_json(problem_of_event(refused.findings, refused.event_type, language))
    )


def _whole(items: Sequence[dict[str, Any]]) -> Answer:
    accepted = sum(item["status"] == ACCEPTED for item in items)
    results = [{"index": index, **item} for index, item in enumerate(items)]
    body = {"accepted": accepted, "refused": len(items) - accepted, "results": results}
    return Answer(ACCEPTED if accepted == len(items) else MIXED, to_json(body))


def _idempotency_key(request: Request) -> str | None:
    said = request.headers.get("idempotency-key")
    if said is None:
        return None
    # The header is a string of RFC 8941, in quotes; most clients send it without.
    plain = said.strip().strip('"')
    if not 1 <= len(plain) <= LONGEST_KEY or not plain.isascii() or not plain.isprintable():
        raise Refusal("gateway.idempotency-key")
    return plain


def _digest(request: Request, body: bytes) -> bytes:
    said = sorted(
        f"{name}:{value}"
        for name, value in request.headers.items()
        if name in OWN_HEADERS[:1] or name.startswith(PREFIX)
    )
    return request_digest("\n".join(said).encode("latin-1", "replace"), body)


def _traceparent(request: Request) -> str | None:
    """The trace of the request, when it is one: a broken one is left out, as W3C Trace Context asks."""
    said = request.headers.get("traceparent", "")
    return said if len(said) == 55 and said.isascii() and said.replace("-", "").isalnum() else None
