"""No agency can speak for another: each tries it against each, at the broker, on its own lane and at the gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from bare_kafka import Record
from forged_events import Voice
from forged_requests import ForgerAtGateway
from forgers import Attempt, Forger, impostors
from forgery_evidence import (
    assert_only_these_took_effect,
    assert_parked_with_reason,
    assert_the_broker_noted,
    assert_the_forger_can_read_why,
    assert_the_gateway_noted,
    decided,
)
from gateway_process import BATCH, GatewayProcess
from history_recorder import everything, headers_of
from honest_agencies import WEB, Belongings, HonestAgency
from ledger_facts import assert_sound, last_verdicts, rows
from ledger_facts import one as one_of
from portalbus.infra.stack import Endpoints
from portalbus.schemas.topics import agency_of, lane_of
from portalbus.streams.reading.proof import prove_verdicts
from portalbus.streams.reading.tracing import Tracer
from portalbus.streams.relaying.outgoing import last_relayed
from secured_kafka import SecuredKafka, variables
from whole_bus import Bus

AGENCIES = ("H26", "H29", "G09", "G16", "H17", "H01", "G01", "G02", "G18", "G06")
"""None of them is the centre, which may do more, and none is above another or follows it."""
LIMITS = ("--canary-s", "0", "--failures-per-minute", "100000", "--metrics-port", "0")


@dataclass
class Country:
    """A secured bus with its worker, relay and gateway, and the agencies on it."""

    secured: SecuredKafka
    bus: Bus
    gateway: GatewayProcess
    agencies: list[HonestAgency]
    logins: dict[str, dict[str, str]]

    def operator(self, topic: str) -> list[Record]:
        """Everything that a topic holds."""
        found = []
        for message in everything(self.secured.bootstrap, [topic], self.secured.login("operator")):
            headers = [*headers_of(message).items()]
            found.append(Record(message.key() or b"", message.value() or b"", headers))
        return found


@pytest.fixture
def country(
    request: pytest.FixtureRequest,
    secured: SecuredKafka,
    endpoints: Endpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Country]:
    agencies: Sequence[str] = request.param
    for name, value in variables(secured.login("operator")).items():
        monkeypatch.setenv(name, value)
    secured.allow_as_on_kubernetes(*agencies)
    bus = Bus(replace(endpoints, bootstrap=secured.bootstrap), tmp_path, agencies, group="portalbus-streams").open()
    by_certificate = replace(endpoints, bootstrap=secured.by_certificate)
    as_gateway = variables(secured.certificate("centre-gateway"))
    gateway = GatewayProcess(by_certificate, tmp_path, *LIMITS, environment=as_gateway)
    logins = {code: secured.certificate(f"agency-{code.lower()}") for code in agencies}
    at_work: list[HonestAgency] = []
    try:
        for start, user in ((bus.start_worker, "centre-worker"), (bus.start_relay, "centre-relay")):
            start(**variables(secured.certificate(user)), PORTALBUS_BOOTSTRAP=secured.by_certificate)
        gateway.start()
        at_work += (
            HonestAgency.open(code, login, by_certificate, gateway, tmp_path / "outboxes")
            for code, login in logins.items()
        )
        yield Country(secured, bus, gateway, at_work, logins)
    finally:
        for agency in at_work:
            agency.portal.close()
        ended = gateway.stop()
        bus.close()
        bus.fresh_topics()  # nothing is left for other tests on this broker
    assert ended == 0, gateway.log.read_text()[-3_000:]


def forge_everything(country: Country, events_each: int) -> int:
    """Every agency tries everything against every other one, while all of them publish; prints what came of it.

    Returns how many forgeries were tried.
    """
    bus = country.bus
    owned = [agency.settle(country.operator) for agency in country.agencies]
    wait_for_the_honest(country)
    before = {one.agency: one.as_stored(bus.look) for one in owned}
    forgers = [
        Forger(Voice(one, bus.schema_ids), country.secured.by_certificate, country.logins[one.agency]) for one in owned
    ]
    attempts = forge_while_all_work(country, forgers, owned, events_each)
    borrowed = [said for one in forgers for said in one.in_borrowed_clothes(but(owned, one.agency))]
    again = [one.its_own_again() for one in forgers]
    early = {one.agency: early_cases(owned, one.agency) for one in forgers}
    attempts += [attempt for one in forgers for attempt in one.too_early(early[one.agency])]
    wait_until_judged(country)
    waiting = one_of(bus.look, "select count(*) from ledger.event where rule = 'case.waits-for-receipt'")
    assert waiting == len(forgers) * (len(forgers) - 1)
    for agency in country.agencies:
        agency.receive(cases[agency.code] for cases in early.values() if agency.code in cases)
    wait_for_the_honest(country)
    wait_until_judged(country)

    attempts = decided(bus.look, attempts)
    wrong = [attempt for attempt in attempts if attempt.got != attempt.wanted]
    assert not wrong, f"{len(wrong)} of {len(attempts)}: {wrong[:10]}"
    assert {one.agency: one.as_stored(bus.look) for one in owned} == before, "something of theirs is not as it was"
    honest = [(agency.code, event_id) for agency in country.agencies for event_id in agency.said]
    assert_only_these_took_effect(bus, country.secured, [*honest, *borrowed])
    assert {last_verdicts(bus.look)[place] for place in again} == {"event.duplicate"}
    for one in owned:
        trace = Tracer(bus.look).trace(one.answer.event_id)
        assert trace is not None
        assert trace.key == one.answered_case, "whose id another agency has used is found first"
    assert_recorded(country, attempts)
    doors = Counter(f"{attempt.door}/{attempt.way}" for attempt in attempts)
    print(
        f"\n{len(attempts)} forgeries of {len(owned)} agencies against each other: 0 accepted, each refused and noted"
    )
    print(f"({', '.join(f'{what} {count}' for what, count in sorted(doors.items()))});")
    print(f"{len(again)} own records again: duplicates; {len(borrowed)} own events under others' ids: their senders';")
    print(f"{len(honest)} honest events: 0 refused")
    return len(attempts)


def forge_while_all_work(
    country: Country, forgers: Sequence[Forger], owned: Sequence[Belongings], events_each: int
) -> list[Attempt]:
    """What is tried at every door at once, while every agency publishes so many events."""
    with ThreadPoolExecutor(2 * len(owned) + 3) as threads:
        honest = [threads.submit(agency.work, events_each) for agency in country.agencies]
        doors = [
            threads.submit(lambda: asyncio.run(at_the_broker(forgers, owned))),
            threads.submit(lambda: [*impostors(country.secured, owned, country.logins)]),
            threads.submit(at_the_gateway, country.gateway, owned),
            *(threads.submit(one.on_its_lane, but(owned, one.agency)) for one in forgers),
        ]
        for agency in honest:
            agency.result()
        return [attempt for found in doors for attempt in found.result()]


def wait_for_the_honest(country: Country) -> None:
    """Waits until everything that the agencies said is judged: every event has to be accepted."""
    bus = country.bus

    def accepted() -> bool:
        query = "select agency, event_id::text, rule from ledger.event where claims_id"
        found = {(agency, event_id): rule for agency, event_id, rule in rows(bus.look, query)}
        rules = [found.get((agency.code, event_id)) for agency in country.agencies for event_id in agency.said]
        assert set(rules) <= {"event.accepted", None}, Counter(rules)
        return None not in rules

    for agency in country.agencies:
        assert agency.refused == []
        assert agency.portal.flush(60), agency.portal.status().last_error
    bus.wait_until(accepted, "every honest event is accepted")


def wait_until_judged(country: Country) -> None:
    """Waits until the ledger has all that lies on the lanes now, and the relay has sent the verdicts on."""
    bus, secured = country.bus, country.secured
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(lane_of(agency.code), 0): latest for agency in country.agencies}
    admin = secured.admin()
    ends = {part.topic: found.result(30).offset for part, found in admin.list_offsets(asked).items()}
    everywhere = "everything on the lanes is judged"
    bus.wait_until(lambda: all(bus.next_offset(agency_of(lane)) >= end for lane, end in ends.items()), everywhere)
    position = bus.position()
    bus.wait_until(lambda: last_relayed(bus.look) >= position, "every verdict is sent on")


def but(owned: Sequence[Belongings], agency: str) -> list[Belongings]:
    """What the other agencies have."""
    return [one for one in owned if one.agency != agency]


def early_cases(owned: Sequence[Belongings], forger: str) -> dict[str, str]:
    """The cases that a forger answers before they are there, by whose they are."""
    return {one.agency: f"{one.agency}-2026-early-{forger.lower()}" for one in but(owned, forger)}


async def at_the_broker(forgers: Sequence[Forger], owned: Sequence[Belongings]) -> list[Attempt]:
    """What the broker is asked for, by all of them at once."""
    found = await asyncio.gather(*(one.at_the_broker(but(owned, one.agency)) for one in forgers))
    return [attempt for attempts in found for attempt in attempts]


def at_the_gateway(gateway: GatewayProcess, owned: Sequence[Belongings]) -> list[Attempt]:
    """What the gateway is asked for, by one after the other."""
    keys = {one.agency: gateway.key(one.agency, WEB) for one in owned}
    known = {one.agency: f"of-{one.agency}" for one in owned}
    for one in owned:
        with gateway.client(keys[one.agency]) as client:
            headers = {"Content-Type": BATCH, "Idempotency-Key": known[one.agency]}
            used = client.post("/v1/events", content="[]", headers=headers)
            assert used.status_code == 202, used.text
    found = []
    forgers = [ForgerAtGateway(gateway, one.agency) for one in owned]
    for forger in forgers:
        forger.revoke()
    for forger in forgers:
        for victim in but(owned, forger.agency):
            for said in forger.tries(victim, keys[victim.agency], known[victim.agency]):
                way, what, wanted, got, event_id, key_id = said
                names = forger.agency, victim.agency
                found.append(Attempt("gateway", way, what, *names, wanted, got, event_id=event_id, key_id=key_id))
    return found


def assert_recorded(country: Country, attempts: Sequence[Attempt]) -> None:
    """Every attempt can be read of afterwards, at the door at which it was refused."""
    bus, secured = country.bus, country.secured
    on_lanes = [attempt for attempt in attempts if attempt.place is not None]
    for code, login in country.logins.items():
        mine = [attempt for attempt in on_lanes if attempt.agency == code]
        assert_the_forger_can_read_why(secured, bus.endpoints.registry_url, login, mine)
    assert_parked_with_reason(bus.look, on_lanes)
    assert_the_broker_noted(secured, attempts)
    assert_the_gateway_noted(country.gateway, [attempt for attempt in attempts if attempt.door == "gateway"])
    assert_sound(bus.look)
    with psycopg.connect(bus.database_url) as connection:
        assert prove_verdicts(connection).problems == ()


@pytest.mark.parametrize("country", [AGENCIES[:3]], indirect=True)
def test_no_agency_can_speak_for_another(country: Country) -> None:
    assert forge_everything(country, events_each=30) > 200


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("country", [AGENCIES], indirect=True)
def test_no_agency_can_speak_for_another_of_ten(country: Country) -> None:
    assert forge_everything(country, events_each=100) >= 500
