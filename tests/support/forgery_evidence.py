"""What is left of forgeries: the centre's decisions, the broker's and the gateway's notes, and no effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import psycopg

from forged_events import FORGER
from forged_requests import FORBIDDEN, GATE, UNKNOWN_KEY
from forgers import Attempt
from gateway_process import GatewayProcess
from history_recorder import everything, headers_of
from honest_agencies import WEB
from ledger_facts import one, rows
from portalbus.producers.centre_schemas import CentreSchemas
from portalbus.schemas import avro_files
from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.models import Verdict, VerdictStatus
from portalbus.schemas.topics import CANONICAL, verdicts_of
from secured_kafka import SecuredKafka
from whole_bus import Bus

Look = psycopg.Connection[Any]
Said = tuple[str, str]
"""Who says it, and the id of the event."""


def decided(look: Look, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts, those that came as far as a lane with the rule by which the centre decided last."""
    found = rows(look, "select agency, lane_offset, event_id::text, claims_id, rule from ledger.event")
    by_place = {(agency, offset): rule for agency, offset, _, _, rule in found}
    by_id = {(agency, event_id): rule for agency, _, event_id, claims, rule in found if claims}
    return [_decided(attempt, by_place, by_id) for attempt in attempts]


def _decided(attempt: Attempt, by_place: Mapping[tuple[str, int], str], by_id: Mapping[Said, str]) -> Attempt:
    if attempt.place is not None:
        return replace(attempt, got=by_place.get((attempt.agency, attempt.place), "never judged"))
    if attempt.event_id is not None:
        return replace(attempt, got=f"{attempt.got} {by_id.get((attempt.agency, attempt.event_id), 'never judged')}")
    return attempt


def assert_only_these_took_effect(bus: Bus, secured: SecuredKafka, said: Iterable[Said]) -> None:
    """The ledger has accepted these events and no others, and each is once in the canonical topics, as its own."""
    expected = Counter(said)
    accepted = "select agency, event_id::text from ledger.event where status = 'ACCEPTED' and event_type <> 'Canary'"
    assert Counter(rows(bus.look, accepted)) == expected
    current = {bus.schema_ids[name]: (name, avro_files.current(name).raw) for name in avro_files.LANE_TYPES}
    writers = WriterSchemas(current)
    passed_on: Counter[Said] = Counter()
    for message in everything(secured.bootstrap, [*CANONICAL.values()], secured.login("operator")):
        headers, content = headers_of(message), read(message.value(), writers)
        assert isinstance(content, Decoded)
        head = content.event.envelope
        assert (headers["ce_source"], headers["ce_id"]) == (f"/{head.source}".encode(), head.id.encode())
        passed_on[head.agency, head.id] += 1
    assert passed_on == expected
    sources = {(agency, portal) for agency, portal in rows(bus.look, "select agency, portal from ledger.source")}
    assert sources == {(agency, portal) for agency in bus.agencies for portal in ("www", WEB, FORGER, GATE)}
    assert one(bus.look, "select count(*) from ledger.gap") == 0, "something is thought to be missing"


def assert_the_forger_can_read_why(
    secured: SecuredKafka, registry: str, login: Mapping[str, str], attempts: Sequence[Attempt]
) -> None:
    """On the verdict topic of the agency that tried it, each record of these attempts has its verdict, in words."""
    schemas, agency = CentreSchemas(registry), attempts[0].agency
    topic, group = verdicts_of(agency), f"portalbus-{agency}-tests"
    told: dict[int, Verdict] = {}
    for message in everything(secured.by_certificate, [topic], login, group):
        record = schemas.decode(message.value())
        if isinstance(record, Verdict):
            told[record.offset] = record
    for attempt in attempts:
        verdict = told[attempt.place or 0]
        assert (verdict.rule, verdict.lane) == (attempt.wanted, f"lane.{agency}")
        assert verdict.final != (verdict.status is VerdictStatus.PARKED), verdict
        assert verdict.message.vi
        assert verdict.message.en
        assert verdict.message.zh


def assert_parked_with_reason(look: Look, attempts: Iterable[Attempt]) -> None:
    """What could not be read is kept with its reason, and takes nobody's place."""
    kept = "select agency, lane_offset, reason, portal from ledger.parked where state = 'parked'"
    expected = {
        (attempt.agency, attempt.place, attempt.wanted, None)
        for attempt in attempts
        if attempt.wanted.startswith("record.not-")
    }
    assert set(rows(look, kept)) == expected


def assert_the_broker_noted(secured: SecuredKafka, attempts: Iterable[Attempt]) -> None:
    """The authorizer's log names each refusal: whom, what, and of which request."""
    expected = Counter(attempt.denial for attempt in attempts if attempt.denial is not None)
    assert not expected - Counter(secured.denials())


def assert_the_gateway_noted(gateway: GatewayProcess, attempts: Sequence[Attempt]) -> None:
    """Its figures count each refusal by agency and rule; its log names the keys that were refused."""
    (served,) = gateway.said("metrics.served")
    figures = httpx2.get(f"http://127.0.0.1:{served['port']}/metrics").text.splitlines()
    counted = {name: float(value) for name, _, value in (line.rpartition(" ") for line in figures if line[0] != "#")}
    refused: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        status, rule = attempt.wanted.split(" ")[0], attempt.wanted.split(" ")[-1]
        if status in ("403", "422") and attempt.what != "another portal's verdicts":
            refused[attempt.agency, rule] += 1
        elif status == "207":
            refused[attempt.agency, rule] += 2
    assert refused[attempts[0].agency, FORBIDDEN.split(" ")[1]] > 0
    for (agency, rule), count in refused.items():
        assert counted[f'portalbus_gateway_events_refused_total{{agency="{agency}",rule="{rule}"}}'] == count
    unauthorised = sum(attempt.wanted.startswith("401") for attempt in attempts)
    assert counted['portalbus_gateway_requests_total{route="/v1/events",status="401"}'] == unauthorised
    named = Counter(line["key"] for line in gateway.said("gateway.key-refused"))
    unknown = [attempt for attempt in attempts if attempt.wanted == UNKNOWN_KEY]
    assert named.total() >= len(unknown)
    with_form = {attempt.key_id for attempt in unknown if attempt.key_id}
    assert with_form <= named.keys()
