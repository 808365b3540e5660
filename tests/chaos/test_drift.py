"""Drift: the central tables are damaged behind the bus's back; one reconciliation names and heals all of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from drifting import Damage, damage
from ledger_facts import assert_sound, one, rows
from losing import losing
from portal_events import directive
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.schemas.directory import directory
from portalbus.schemas.identifiers import new_event_id
from portalbus.schemas.models import DirectiveAction, DirectivePublished
from portalbus_command import Portalbus
from promises import promised
from seeds import fresh_seed
from whole_bus import Bus

AGENCIES = tuple(agency.code for agency in directory().current(datetime.now(UTC).date())[:8])


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


def open_portal(bus: Bus, agency: str, folder: Path) -> Portal:
    """The portal `www` of an agency, with a heartbeat every two seconds."""
    return Portal(
        agency,
        "www",
        bootstrap=bus.endpoints.bootstrap,
        registry_url=bus.endpoints.registry_url,
        outbox=folder / "outbox",
        heartbeat=2.0,
    )


def history(number: int) -> list[DirectivePublished]:
    """All versions of a directive: each tenth is revised, each twentieth withdrawn."""
    first = directive(number)
    versions = [first.model_copy(update={"body": f"{first.body} Số {number}."})]
    if number % 10 == 0:
        versions.append(directive(number, 2))
    if number % 20 == 5:
        withdrawal = {"action": DirectiveAction.WITHDRAW, "version": 2, "withdrawal_reason": "Ban hành nhầm."}
        versions.append(first.model_copy(update=withdrawal))
    return versions


def publish(bus: Bus, portals: dict[str, Portal], directives: int) -> int:
    """Publishes that many directives over the portals, and waits until all are in the ledger."""
    events = 0
    for place, portal in enumerate(portals.values()):
        payloads = [version for number in range(place, directives, len(portals)) for version in history(number)]
        portal.publish_many(payloads)
        events += len(payloads)
    bus.wait_until(
        lambda: one(bus.look, "select count(*) from ledger.event where rule = 'event.accepted'") == events,
        "all directives are in the ledger",
        120,
    )
    return events


def stated(bus: Bus) -> int:
    """How many events the last manifests cover."""
    return int(
        one(
            bus.look,
            "select coalesce(sum(count), 0) from ledger.manifest_bucket where event_type = %s",
            "DirectivePublished",
        )
    )


def reconcile(bus: Bus, *options: str) -> tuple[int, Any, float]:
    """Runs the command; its exit status, what it says, and how long it took."""
    where = ("--bootstrap", bus.endpoints.bootstrap, "--registry-url", bus.endpoints.registry_url)
    start = time.monotonic()
    done = Portalbus(bus.folder)("reconcile", "--json", *where, "--database-url", bus.database_url, *options)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout), time.monotonic() - start


def public_rows(bus: Bus) -> dict[str, set[str]]:
    """What people see, and the identities of the events behind it. The place of an erased event is not its old one."""
    return {
        "directive": {
            row for (row,) in rows(bus.look, "select (to_jsonb(d) - 'position')::text from ledger.directive d")
        },
        "document": {
            row
            for (row,) in rows(
                bus.look, "select (to_jsonb(v) - 'lane_offset' - 'position')::text from ledger.directive_version v"
            )
        },
        "event": {
            row for (row,) in rows(bus.look, "select event_id::text from ledger.event where status = 'ACCEPTED'")
        },
    }


def drift(bus: Bus, tmp_path: Path, directives: int) -> None:
    """The whole test, with so many directives."""
    seed = fresh_seed("what drifts")
    each = directives // 100
    with ExitStack() as stack:
        portals = {agency: stack.enter_context(open_portal(bus, agency, tmp_path)) for agency in AGENCIES}
        bus.start_worker(PORTALBUS_RECONCILE_EVERY="0")
        bus.start_relay()
        events = publish(bus, portals, directives)
        bus.wait_until(lambda: stated(bus) == events, "the manifests cover everything")
        assert reconcile(bus)[0] == 0, "before the damage nothing differs"
        before = public_rows(bus)

        done = damage(bus.look, Random(seed), each, erased=max(each // 4, 1))
        status, report, seconds = reconcile(bus)
        with promised():
            assert status == 1
        check_named(done, report)
        assert report["open"] == 0, [found for found in report["differences"] if not found["healed_at"]]

        bus.wait_until(lambda: reconcile_is_quiet(bus), "the second reconciliation reports none")
        sent_again = one(
            bus.look, "select count(*) from ledger.event where rule in ('event.duplicate', 'event.restored')"
        )
        after = public_rows(bus)
        with promised():
            assert after["event"] == before["event"]
            assert differing(before, after) <= set(done.erased)
            assert sent_again < 0.02 * events
        assert_one_final_verdict(bus)
    print(
        f"\ndrift: seed {seed}, {directives} directives, {events} events; {each} deleted ({len(done.erased)} of them"
        f" with every trace), {each} altered ({len(done.unwithdrawn)} withdrawals undone), {each} added:"
        f" all named, healed in {seconds:.1f} s (compared in {report['seconds']:.1f} s),"
        f" {sent_again} events sent again ({sent_again / events:.2%}); second reconciliation: none"
    )


def reconcile_is_quiet(bus: Bus) -> bool:
    status, report, _ = reconcile(bus)
    with promised():
        assert status == 0, report
    return True


@promised()
def check_named(done: Damage, report: Any) -> None:
    """Everything that was done is named as what it is, and nothing else."""
    assert set(report["missing"]) == {*done.deleted, *done.erased, *done.unwithdrawn}
    assert set(report["altered"]) == set(done.altered)
    assert set(report["unknown"]) == set(done.added)
    assert set(report["missed_withdrawals"]) == set(done.unwithdrawn)


def differing(before: dict[str, set[str]], after: dict[str, set[str]]) -> set[str]:
    """Keys whose public rows are not what they were."""
    changed = (before["directive"] ^ after["directive"]) | (before["document"] ^ after["document"])
    return {json.loads(row)["key"] for row in changed}


@promised()
def assert_one_final_verdict(bus: Bus) -> None:
    """Every event has one verdict that is final and no duplicate's."""
    doubled = rows(
        bus.look,
        "select agency, event_id from ledger.event where final and rule <> 'event.duplicate'"
        " group by agency, event_id having count(*) > 1",
    )
    assert doubled == []
    assert one(bus.look, "select count(*) from ledger.event where not final") == 0


def test_560_directives_drift_and_are_healed(bus: Bus, tmp_path: Path) -> None:
    drift(bus, tmp_path, 560)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_5_600_directives_drift_and_are_healed(bus: Bus, tmp_path: Path) -> None:
    drift(bus, tmp_path, 5_600)


def test_workers_heal_by_themselves_and_a_portal_that_was_away_when_it_is_back(bus: Bus, tmp_path: Path) -> None:
    agency = AGENCIES[0]
    bus.start_worker(PORTALBUS_RECONCILE_EVERY="1")
    bus.start_relay()
    with open_portal(bus, agency, tmp_path) as portal:
        events = publish(bus, {agency: portal}, 40)
        bus.wait_until(lambda: stated(bus) == events, "the manifest covers everything")
        before = public_rows(bus)
    done = damage(bus.look, Random(1), 4, erased=1)
    gone = set(done.erased)
    bus.wait_until(lambda: differing(before, public_rows(bus)) == gone, "all heals but what only the portal has")
    with open_portal(bus, agency, tmp_path):
        took = bus.wait_until(
            lambda: public_rows(bus)["event"] == before["event"] and bus_is_healed(bus),
            "the rest heals when it is back",
        )
    assert_one_final_verdict(bus)
    print(f"\ndrift without an operator: 12 of 40 directives healed, the last {took:.1f} s after its portal was back")


def test_an_event_whose_place_rubbish_had_claimed_before_it_was_lost_is_found_and_comes_once(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody misses it by its number: only what the portal states tells that something is not there."""
    agency, lost = AGENCIES[0], new_event_id()
    bus.start_worker(PORTALBUS_RECONCILE_EVERY="0")
    bus.start_relay()
    with open_portal(bus, agency, tmp_path) as portal:
        publish(bus, {agency: portal}, 3)
        next_place = b"%d" % (portal.publish(directive(3)).sequence + 1)
        forged = (("ce_source", f"/{agency}/www".encode()), ("ce_sequence", next_place))
        bus.wait_until(lambda: verdict_on(bus, agency, directive(3)) == ["event.accepted"], "nothing is on its way")
        bus.publish_records(agency, [(b"?", b"rubbish", forged)])
        bus.wait_until(lambda: one(bus.look, "select count(*) from ledger.parked where sequence is not null"), "parked")
        losing(monkeypatch).add(lost)
        portal.publish(directive(4), event_id=lost)
        portal.publish(directive(5))
        bus.wait_until(lambda: stated(bus) >= 6, "the manifest covers everything")
        assert (verdict_on(bus, agency, directive(4)), one(bus.look, "select count(*) from ledger.gap")) == ([], 0)
        status, report, seconds = reconcile(bus)
        with promised():
            assert (status, report["missing"], report["open"]) == (1, [f"{agency}/{directive(4).directive_id}"], 0)
            assert verdict_on(bus, agency, directive(4)) == ["event.accepted"]
        assert reconcile_is_quiet(bus)
    assert_sound(bus.look)
    print(f"\na place forged and its event lost: named, sent again and accepted within {seconds:.1f} s")


def verdict_on(bus: Bus, agency: str, what: DirectivePublished) -> list[str]:
    """The rules on the events of a directive."""
    key = f"{agency}/{what.directive_id}"
    return [rule for (rule,) in rows(bus.look, "select rule from ledger.event where key = %s", key)]


def bus_is_healed(bus: Bus) -> bool:
    """Nothing is open, and every directive is there."""
    open_ones = one(bus.look, "select count(*) from ledger.repair where healed_at is null")
    return int(open_ones) == 0 and int(one(bus.look, "select count(*) from ledger.directive")) == 40
