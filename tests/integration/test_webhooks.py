"""Webhooks on a real bus: each event at least once and in the order of its key, whoever fails and whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from bus_events import answer, directive, envelope, receipt, value_of, withdrawal
from portalbus.connectors.push import store, subscriptions
from portalbus.connectors.push.signing import new_secret
from portalbus.connectors.push.store import Superseded
from portalbus.connectors.push.subscriptions import add_subscription, list_failed, list_subscriptions, open_desk
from portalbus.connectors.push.wanted import Wanted
from portalbus.connectors.tracing.following import follow
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event, Payload
from webhook_receiver import Receiver
from whole_bus import Bus, Running

AGENCIES = ("G22", "H26")
OPTIONS = ("--first-pause", "0.05", "--longest-pause", "0.4", "--timeout", "2")

KILLS = 8


class Hooks:
    """A bus with its worker and relay, and what a test does with webhooks on it."""

    def __init__(self, bus: Bus, desk: psycopg.Connection[Any]) -> None:
        self.bus = bus
        self.desk = desk
        self._next = Counter[str]()

    def subscribe(self, receiver: Receiver, *agencies: str, types: tuple[str, ...] = (), **options: Any) -> str:
        """Subscribes a receiver; gives the id."""
        receiver.secret = new_secret()
        wanted = Wanted.of(agencies, types)
        return add_subscription(
            self.desk, receiver.url, wanted, secret=receiver.secret, internal=True, created_by="test", **options
        )

    def run(self, *options: str) -> Running:
        """Starts the webhook process."""
        log = self.bus.folder / f"{len(self.bus.processes)}-webhooks.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "portalbus.connectors.push", *OPTIONS, *options],
                env={
                    **os.environ,
                    "PORTALBUS_BOOTSTRAP": self.bus.endpoints.bootstrap,
                    "PORTALBUS_REGISTRY": self.bus.endpoints.registry_url,
                    "PORTALBUS_DATABASE": self.bus.database_url,
                },
                stdout=out,
                stderr=out,
            )
        running = Running("webhooks", process, log)
        self.bus.processes.append(running)
        return running

    def publish(self, agency: str, *payloads: Payload) -> list[str]:
        """Puts events on a lane; gives their ids."""
        values, ids = [], []
        for payload in payloads:
            self._next[agency] += 1
            number = self._next[agency]
            head = envelope(AGENCIES.index(agency) * 1_000_000 + number, agency, number)
            event = Event(head, payload)
            values.append((event.key.encode(), value_of(event, self.bus.schema_ids)))
            ids.append(head.id)
        self.bus.publish(agency, values)
        return ids

    def cases(self, agency: str, first: int, count: int) -> list[str]:
        """Cases that come in and are answered: two events of one key on two topics."""
        codes = AGENCIES.index(agency) * 1_000_000
        names = [f"{agency}-{first + n:06}" for n in range(count)]
        receipts = [receipt(name, codes + first + n) for n, name in enumerate(names)]
        return self.publish(agency, *(event for one in receipts for event in (one, answer(one.case_id))))


@pytest.fixture(scope="module")
def module_bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("webhooks"), AGENCIES).open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def hooks(module_bus: Bus) -> Iterator[Hooks]:
    with open_desk(module_bus.database_url) as desk:
        yield Hooks(module_bus, desk)


@pytest.fixture(autouse=True)
def nobody_is_subscribed(hooks: Hooks) -> Iterator[None]:
    yield
    for running in hooks.bus.processes:
        if running.name == "webhooks" and running.process.poll() is None:
            assert running.stop() == 0, running.text()
    with hooks.desk.transaction():
        hooks.desk.execute("delete from push.subscription")


def assert_ordered(receiver: Receiver) -> None:
    """First occurrences come in ledger order within each key, and nothing was wrong."""
    assert receiver.problems == []
    for key, positions in receiver.positions_by_key().items():
        assert positions == sorted(positions), key


def ids_of(receiver: Receiver) -> set[str]:
    return {one.webhook_id for one in receiver.taken()}


def test_a_receiver_gets_what_it_asked_for_signed_and_whole_directives(hooks: Hooks) -> None:
    with Receiver() as everything, Receiver() as narrow, Receiver() as office:
        hooks.subscribe(everything)
        hooks.subscribe(narrow, "G22", types=("DirectivePublished",))
        hooks.subscribe(office, "H26", types=("FeedbackReceived", "Verdict"), whole=True)
        hooks.run()
        text = "Nội dung “lạ” <b>&amp;</b> 𠮷 \\u0041"
        directives = hooks.publish("G22", directive("w-1", body=text), withdrawal("w-1"))
        cases = hooks.cases("H26", 10, 3)
        wait = hooks.bus.wait_until
        wait(lambda: ids_of(everything) == {*directives, *cases}, "everything")
        wait(lambda: ids_of(narrow) == set(directives), "the directives of G22")
        wait(lambda: len(office.taken()) == 9, "three cases, and six verdicts")
        published, withdrawn = (one.event for one in narrow.taken())
        assert published["data"]["body"] == text
        assert (published["source"], published["subject"]) == ("/G22/www", "G22/w-1")
        assert withdrawn["data"]["action"] == "WITHDRAW"
        hidden = [one.event for one in everything.taken() if one.event["type"].endswith("FeedbackReceived")]
        assert not [name for event in hidden for name in ("subject", "content", "public_code") if name in event["data"]]
        marked = [one.event["type"].split(".")[-1] for one in everything.taken() if "shownfrom" in one.event]
        assert marked == ["FeedbackResolved"] * 3, "nobody shows it unknowingly"
        shown = [one.event for one in office.taken() if one.event["type"].endswith("FeedbackReceived")]
        assert len(shown) == 3
        assert all(event["data"]["content"] and event["data"]["public_code"] for event in shown)
        verdicts = [one.event["data"]["rule"] for one in office.taken() if one.event["type"].endswith("Verdict")]
        assert verdicts == ["event.accepted"] * 6
        for receiver in (everything, narrow, office):
            assert_ordered(receiver)


def test_a_failing_key_waits_the_others_go_on_and_its_order_holds(hooks: Hooks) -> None:
    refused = Counter[str]()

    def refuses_three_times(event: dict[str, Any]) -> int | None:
        if event["subject"] != "G22/bad":
            return 200
        refused[event["id"]] += 1
        return (500, 503, None, 200)[min(refused[event["id"]], 4) - 1]

    with Receiver(refuses_three_times) as receiver:
        hooks.subscribe(receiver)
        hooks.run()
        bad = hooks.publish("G22", directive("bad"), directive("bad", 2), directive("bad", 3))
        good = hooks.publish("G22", *(directive(f"good-{n}") for n in range(20)))
        hooks.bus.wait_until(lambda: ids_of(receiver) == {*bad, *good}, "all of it")
        assert_ordered(receiver)
        tries = [one.webhook_id for one in receiver.heard if one.key == "G22/bad"]
        assert tries == [bad[0]] * 4 + [bad[1]] * 4 + [bad[2]] * 4
        order = [one.key for one in receiver.taken()]
        assert order.index("G22/good-19") < len(order) - 1, "the good ones did not wait for the bad one"


def test_what_is_given_up_holds_its_key_until_it_is_redriven_or_dropped(hooks: Hooks) -> None:
    is_mended = False
    with Receiver(lambda event: 200 if is_mended or "bad" not in event["subject"] else 422) as receiver:
        subscription = hooks.subscribe(receiver)
        hooks.run("--give-up-after", str(0.2 / 3_600))
        bad = hooks.publish("G22", directive("bad-1"), directive("bad-1", 2), directive("bad-2"), directive("bad-2", 2))
        good = hooks.publish("G22", directive("fine"))
        hooks.bus.wait_until(lambda: len(list_failed(hooks.desk)) == 2, "two failed deliveries")
        assert ids_of(receiver) == set(good)
        failed = list_failed(hooks.desk)
        assert {(one.webhook_id, one.key, one.behind) for one in failed} == {
            (bad[0], "G22/bad-1", 1),
            (bad[2], "G22/bad-2", 1),
        }
        assert all(one.last_error == "answered 422" and one.failures > 1 for one in failed)
        assert {one.webhook_id for one in receiver.heard if "bad" in one.key} == {bad[0], bad[2]}, "none overtakes"
        is_mended = True
        assert subscriptions.redrive(hooks.desk, subscription, [bad[0]]) == 1
        hooks.bus.wait_until(lambda: ids_of(receiver) == {*good, bad[0], bad[1]}, "the redriven one and its follower")
        assert subscriptions.drop_failed(hooks.desk, subscription, [bad[2]]) == 1
        hooks.bus.wait_until(lambda: ids_of(receiver) == {*good, bad[0], bad[1], bad[3]}, "what waited behind")
        assert_ordered(receiver)
        (listed,) = list_subscriptions(hooks.desk)
        hooks.bus.wait_until(lambda: list_subscriptions(hooks.desk)[0].queued == 0, "all written down")
        assert (listed.failed, list_subscriptions(hooks.desk)[0].delivered) == (0, 4)


def outcomes(hooks: Hooks, event_id: str) -> list[tuple[str, str, int, str | None]]:
    """Receiver, state, attempts and error of each webhook of an event, as its trace tells them."""
    found = follow(hooks.bus.look, event_id)
    events = found.events if found else ()
    webhooks = [hook for event in events for judgement in event.judgements for hook in judgement.webhooks]
    assert all(hook.webhook_id == event_id for hook in webhooks)
    return [(hook.receiver or "", hook.state, hook.attempts, hook.error) for hook in webhooks]


def test_a_trace_tells_what_became_of_every_webhook_of_an_event(hooks: Hooks) -> None:
    tries = Counter[str]()

    def takes_the_second_time(event: dict[str, Any]) -> int:
        tries[event["id"]] += 1
        return 204 if tries[event["id"]] > 1 else 500

    with Receiver(takes_the_second_time) as late, Receiver(lambda event: 410) as never:
        hooks.subscribe(late)
        refuses = hooks.subscribe(never)
        hooks.run("--give-up-after", str(0.2 / 3_600))
        begun = datetime.now(UTC)
        (event_id,) = hooks.publish("G22", directive("carried"))
        to_late, to_never = (urlsplit(receiver.url).netloc for receiver in (late, never))
        hooks.bus.wait_until(
            lambda: {hook[1] for hook in outcomes(hooks, event_id)} == {"delivered", "given_up"}, "both have ended"
        )
        told = {receiver: rest for receiver, *rest in outcomes(hooks, event_id)}
        assert told[to_late] == ["delivered", 2, None]
        assert (told[to_never][0], told[to_never][2]) == ("given_up", "answered 410")
        assert subscriptions.drop_failed(hooks.desk, refuses, [event_id]) == 1
        assert [hook[1] for hook in outcomes(hooks, event_id) if hook[0] == to_never] == ["dropped"]
        found = follow(hooks.bus.look, f"verdict-{late.taken()[0].position}")
        assert found is not None
        ended = [hook.at for hook in found.events[0].judgements[0].webhooks]
        assert all(at is not None and begun < at < datetime.now(UTC) for at in ended)
        subscriptions.remove_subscription(hooks.desk, refuses)
        assert ("", "dropped") in [hook[:2] for hook in outcomes(hooks, event_id)], "the story outlives the receiver"
    with hooks.desk.transaction():
        hooks.desk.execute("update push.ended set ended_at = ended_at - interval '91 days' where not delivered")
        store.sweep(hooks.desk)
    assert [hook[1] for hook in outcomes(hooks, event_id)] == ["delivered"]


def test_a_dead_and_a_slow_receiver_delay_nobody(hooks: Hooks) -> None:
    slow_until = Receiver()
    release = hooks.bus.folder / "release"

    def hangs(event: dict[str, Any]) -> None:
        slow_until.lock.acquire(timeout=30)  # answers when the test has ended

    with Receiver() as quick, slow_until, Receiver(hangs) as slow:
        slow_until.lock.acquire()
        dead = Receiver()
        with dead:
            hooks.subscribe(dead)  # nobody listens there any more when the block has ended
        hooks.subscribe(slow)
        hooks.subscribe(quick)
        hooks.run()
        hooks.publish("G22", directive("warm-up"))
        hooks.bus.wait_until(lambda: len(quick.taken()) == 1, "the process runs")
        ids = hooks.publish("G22", *(directive(f"quick-{n}") for n in range(200)))
        seconds = hooks.bus.wait_until(lambda: set(ids) <= ids_of(quick), "the quick one has all")
        assert seconds < 10
        queued = {one.url: one.queued for one in list_subscriptions(hooks.desk)}
        assert queued[dead.url] == queued[slow.url] == 201
        slow_until.lock.release()
    release.touch()


def test_no_kill_loses_anything_or_breaks_an_order(hooks: Hooks) -> None:
    random = Random(7)
    fails = Random(11)
    with Receiver(lambda event: 503 if fails.random() < 0.05 else 200) as receiver:
        hooks.subscribe(receiver)
        running = hooks.run()
        wanted: set[str] = set()
        for number in range(KILLS):
            wanted |= set(hooks.cases(AGENCIES[number % 2], 1_000 + 100 * number, 30))
            chain = (directive(f"chain-{number % 3}", 1 + number // 3 * 8 + version) for version in range(8))
            wanted |= set(hooks.publish("G22", *chain))
            before = len(receiver.heard)
            enough = before + random.randrange(1, 60)
            hooks.bus.wait_until(lambda: len(receiver.heard) >= enough or ids_of(receiver) >= wanted, "some arrive")
            running.kill()
            running = hooks.run()
        hooks.bus.wait_until(lambda: ids_of(receiver) >= wanted, "everything arrives")
        assert ids_of(receiver) == wanted
        assert_ordered(receiver)
        assert len(receiver.positions_by_key()) == 30 * KILLS + 3


def test_one_process_sends_and_the_other_takes_over(hooks: Hooks, eventually: Callable[..., bool]) -> None:
    with Receiver() as receiver:
        hooks.subscribe(receiver)
        first = hooks.run()
        assert eventually(lambda: bool(first.said("webhooks.reading")))
        second = hooks.run()
        assert eventually(lambda: bool(second.said("webhooks.standing-by")))
        ids = hooks.publish("G22", directive("before"))
        assert eventually(lambda: ids_of(receiver) == set(ids))
        assert eventually(lambda: list_subscriptions(hooks.desk)[0].delivered == 1), "it is written down"
        first.kill()
        ids += hooks.publish("G22", directive("after"))
        assert eventually(lambda: ids_of(receiver) == set(ids))
        assert Counter(one.webhook_id for one in receiver.heard) == dict.fromkeys(ids, 1)


def test_the_log_of_the_process_holds_no_secret_and_no_text(hooks: Hooks, tmp_path: Path) -> None:
    with Receiver(lambda event: 500) as receiver:
        hooks.subscribe(receiver)
        running = hooks.run()
        hooks.publish("H26", receipt("H26-900001", 900_001, content="chuyện riêng của một người"))
        hooks.bus.wait_until(lambda: bool(running.said("webhook.failed")), "a failure is said")
        assert receiver.secret not in running.text()
        assert "chuyện riêng" not in running.text()


def test_a_process_that_was_replaced_writes_nothing(hooks: Hooks) -> None:
    with psycopg.connect(hooks.bus.database_url) as connection:
        first = store.take_over(connection)
        store.hold(connection, first)
        second = store.take_over(connection)
        store.hold(connection, second)
        with pytest.raises(Superseded):
            store.hold(connection, first)
        connection.rollback()
