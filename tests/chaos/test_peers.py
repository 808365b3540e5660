"""The same faults for portalbus, a plain confluent-kafka loop and stock Faust: what each loses, and what it does twice.

No test of the others: nothing is asserted about them but that they come to rest. The figures stand beside ours in
docs/promises.md.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer

from history_recorder import everything
from peer_runs import AGENCIES, PROGRAMS, TABLES, Load, Outcome, Pair, run, took_effect
from portalbus.infra.stack import Endpoints, Stack
from portalbus.infra.stack.process import Service
from portalbus.schemas.codec import frame
from portalbus.schemas.topics import lane_of
from seeds import fresh_seed
from whole_bus import SESSION_TIMEOUT_S, Bus

EVENTS = 12_000
KILLS = 20
FREEZES = 4
OUTAGES = 3
BROKER_KILLS = 5
CHANGES = 20
EPISODES = 6
LARGE_EVENTS = 8_000
SEAM = Path(__file__).parents[1] / "support" / "crash_seam"
DEADLY = b"kills the decoder"
"""What a decoder dies of, with the seam on its path."""
Fault = Callable[[Pair, Load], None]


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    bus.look.execute(TABLES)
    yield bus
    bus.close()


def compare(bus: Bus, name: str, what: str, load: Callable[[Bus], Load], fault: Fault, **variables: str) -> Outcome:
    """Runs one program, prints what came of it, and holds ours to its promise."""
    outcome = run(bus, PROGRAMS[name], load, fault, variables)
    print(f"{name}, {what}: started again {outcome.restarts} times; {outcome.report.figures()}")
    if name == "portalbus":
        outcome.report.must_be_clean()
    return outcome


def plain(bus: Bus) -> Load:
    """Each event once."""
    return Load(bus, EVENTS)


each_program = pytest.mark.parametrize("name", PROGRAMS)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_killed_again_and_again(bus: Bus, name: str) -> None:
    random = Random(fresh_seed("kills"))

    def kill(pair: Pair, load: Load) -> None:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.3, 2.2))
            pair.kill_one(random)

    compare(bus, name, f"{KILLS} kills", plain, kill)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_frozen_past_its_session(bus: Bus, name: str) -> None:
    random = Random(fresh_seed("freezes"))

    def freeze(pair: Pair, load: Load) -> None:
        for _ in range(FREEZES):
            time.sleep(random.uniform(0.5, 2.0))
            pair.freeze_one(random, 2 * SESSION_TIMEOUT_S)

    compare(bus, name, f"{FREEZES} freezes of {2 * SESSION_TIMEOUT_S} s", lambda bus: Load(bus, 2 * EVENTS), freeze)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_everything_sent_five_times(bus: Bus, name: str) -> None:
    compare(bus, name, "each sent five times", lambda bus: Load(bus, EVENTS // 2, copies=5), lambda pair, load: None)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_a_record_in_a_hundred_that_nobody_can_read(bus: Bus, name: str) -> None:
    compare(bus, name, "poison", lambda bus: Load(bus, EVENTS, poison_every=100), lambda pair, load: None)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_the_database_is_away_for_a_while(bus: Bus, stack: Stack, name: str) -> None:
    def away(pair: Pair, load: Load) -> None:
        for _ in range(OUTAGES):
            time.sleep(3)
            stack.postgres.kill()
            time.sleep(4)
            stack.postgres.start()

    compare(bus, name, f"database killed and away {OUTAGES} times", plain, away)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_the_broker_is_killed_again_and_again(bus: Bus, stack: Stack, name: str) -> None:
    random = Random(fresh_seed("kills of the broker"))

    def kill(pair: Pair, load: Load) -> None:
        for _ in range(BROKER_KILLS):
            time.sleep(random.uniform(1, 4))
            stack.kafka.kill()
            stack.kafka.start()

    compare(bus, name, f"broker killed {BROKER_KILLS} times", plain, kill)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_processes_come_and_go(bus: Bus, name: str) -> None:
    random = Random(fresh_seed("comings and goings"))

    def come_and_go(pair: Pair, load: Load) -> None:
        for _ in range(CHANGES):
            time.sleep(random.uniform(0.3, 2.2))
            random.choice((pair.stop_one, pair.kill_one, lambda random: pair.join_one(random, 2.0)))(random)

    compare(bus, name, f"{CHANGES} comings and goings", plain, come_and_go)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_faults_together(bus: Bus, stack: Stack, name: str) -> None:
    random = Random(fresh_seed("faults together"))

    def restart(service: Service) -> None:
        service.kill()
        time.sleep(2)
        service.start()

    def cook(pair: Pair, load: Load) -> None:
        kinds: list[Callable[[], None]] = [
            lambda: pair.kill_one(random),
            lambda: pair.freeze_one(random, 2 * SESSION_TIMEOUT_S),
            lambda: pair.join_one(random, 2.0),
            lambda: restart(stack.postgres),
            lambda: restart(stack.kafka),
        ]
        with ThreadPoolExecutor(len(kinds)) as threads:
            for _ in range(EPISODES):
                for done in [threads.submit(kind) for kind in random.sample(kinds, random.randint(2, len(kinds)))]:
                    done.result(120)
                time.sleep(random.uniform(0, 3))

    compare(bus, name, f"{EPISODES} times two to five faults at once", lambda bus: Load(bus, 2 * EVENTS), cook)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@each_program
def test_a_record_that_kills_whoever_decodes_it(bus: Bus, name: str) -> None:
    deadly = frame(bus.schema_ids["FeedbackReceived"], DEADLY)
    load = partial(Load, events=EVENTS, poison_every=1_500, poison=deadly)
    compare(bus, name, "eight deadly records", load, lambda pair, load: None, PYTHONPATH=str(SEAM))


@pytest.mark.chaos
@pytest.mark.timeout(900)
@each_program
def test_a_backlog_of_large_events(bus: Bus, name: str) -> None:
    """Eight thousand of 60 KB wait for the two processes when they start."""

    def work_off(pair: Pair, load: Load) -> None:
        with pair.away():
            load.wait()
        with pair.measured():
            bus.wait_until(lambda: len(took_effect(bus, pair.program)) >= len(load.lines), "all is done", 300)

    load = partial(Load, events=LARGE_EVENTS, content="政" * 20_000, per_second=1e6)
    outcome = compare(bus, name, f"a backlog of {LARGE_EVENTS} large events", load, work_off)
    print(f"{name}: largest process {outcome.largest_mb:.0f} MB")
    assert name != "portalbus" or outcome.largest_mb < 250


PRODUCER = """
import sys, time
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "enable.idempotence": True, "acks": "all", "linger.ms": 5})
for number in range(100_000):
    producer.produce(sys.argv[2], str(number).encode())
    producer.poll(0)
    print(number, flush=True)
    time.sleep(0.0005)
"""


@pytest.mark.chaos
def test_a_plain_producer_that_is_killed_loses_what_it_has_taken(bus: Bus) -> None:
    """What `publish()` of the SDK keeps, `produce()` does not: it takes a message into the memory of its process."""
    random, taken, topic = Random(fresh_seed("kills of a producer")), 0, lane_of(AGENCIES[0])
    assert Producer({"bootstrap.servers": bus.endpoints.bootstrap}).list_topics(topic, 30).topics[topic].error is None
    for _ in range(KILLS):
        command = [sys.executable, "-c", PRODUCER, bus.endpoints.bootstrap, topic]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0.2, 1.0))
            process.send_signal(signal.SIGKILL)
            taken += 1 + len(process.stdout.read().splitlines())
    kept = sum(1 for _ in everything(bus.endpoints.bootstrap, [topic]))
    print(f"a plain producer, {KILLS} kills: {taken} taken by produce(), {taken - kept} of them lost")
    assert 0 < kept < taken
