"""The same load and the same faults for portalbus and for its peers: a plain confluent-kafka loop and stock Faust.

Two processes of a program share four lanes, and one that has ended is started again, as a service manager would.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import psycopg

from bus_events import envelope, receipt, value_of
from history_checker import check
from history_report import Line, Report
from portalbus.schemas.models import Event
from portalbus.schemas.topics import lane_of
from watched_memory import watched
from whole_bus import SESSION_TIMEOUT_S, Bus

AGENCIES = ("G22", "H26", "H29", "G09")
PEERS = Path(__file__).parents[1] / "bench" / "peers"
PER_SECOND = 400
TOGETHER = 20
QUIET_SECONDS = 5.0 * SESSION_TIMEOUT_S
"""Nothing happens any more: much longer than a dead member's lanes wait for another one."""

TABLES = """
create schema peer;
create table peer.feedback (case_id text primary key, public_code text not null, agency text not null,
    portal text not null, sequence bigint not null, regime text not null, category int not null,
    received_at timestamptz not null, subject text not null, content text not null);
create table peer.applied (number bigint generated always as identity primary key, case_id text not null);
create function peer.note() returns trigger language plpgsql as $$
begin insert into peer.applied (case_id) values (new.case_id); return null; end $$;
create trigger note after insert or update on peer.feedback for each row execute function peer.note()"""


class Program(NamedTuple):
    """One of those that are compared: how to start it, and where to read what took effect."""

    name: str
    effects: str

    def start(self, bus: Bus, **variables: str) -> subprocess.Popen[bytes]:
        """Starts one process of it, in the group of the others, with these variables in its environment."""
        if self.name == "portalbus":
            return bus.start_worker(**variables).process
        folder = bus.folder / f"{self.name}-{time.time_ns()}"  # Faust keeps files where it is started
        folder.mkdir()
        environment = {
            **bus.environment,
            "BENCH_LANES": ",".join(map(lane_of, AGENCIES)),
            "BENCH_GROUP": bus.group,
            "BENCH_SESSION_S": str(SESSION_TIMEOUT_S),
            **variables,
        }
        with (folder / "log").open("wb") as log:
            command = [sys.executable, str(PEERS / f"{self.name}.py")]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)


APPLIED = "select number, case_id from peer.applied order by number"
PROGRAMS = {
    "portalbus": Program(
        "portalbus",
        "select j.position, e.key from ledger.judgement j join ledger.event e using (agency, lane_offset)"
        " where j.status = 'ACCEPTED' order by j.position",
    ),
    "confluent_loop": Program("confluent_loop", APPLIED),
    "stock_faust": Program("stock_faust", APPLIED),
}


class Pair:
    """Two processes of a program; whoever ends is started again."""

    def __init__(self, bus: Bus, program: Program, **variables: str) -> None:
        self.program = program
        self.restarts = 0
        self.largest_mb = 0.0
        """The most that one process has held, of those looked at by `watched`."""
        self._bus, self._variables = bus, variables
        self._lock = threading.Lock()
        self._running = [self._start(), self._start()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def kill_one(self, random: Random) -> None:
        """kill -9."""
        with self._lock:
            random.choice(self._running).kill()

    def stop_one(self, random: Random) -> None:
        """SIGTERM; it is started again when it has ended."""
        with self._lock:
            random.choice(self._running).terminate()

    def freeze_one(self, random: Random, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so many seconds."""
        with self._lock:
            process = random.choice(self._running)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def join_one(self, random: Random, seconds: float) -> None:
        """One more comes, and goes after so many seconds, by SIGTERM or kill -9."""
        process = self._start()
        time.sleep(seconds)
        random.choice((process.terminate, process.kill))()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Both are ended, and started again at the end."""
        with self._lock:
            self._end_all()
            yield
            self._running = [self._start(), self._start()]

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Takes down how much memory the processes that run now hold."""
        with ExitStack() as watches:
            found = [watches.enter_context(watched(process)) for process in self._running]
            yield
        self.largest_mb = max(memory.worker for memory in found)

    def end(self) -> None:
        """Ends both."""
        self._ended.set()
        self._thread.join(30)
        self._end_all()

    def _start(self) -> subprocess.Popen[bytes]:
        return self.program.start(self._bus, **self._variables)

    def _end_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                for place, process in enumerate(self._running):
                    if process.poll() is not None:
                        self._running[place] = self._start()
                        self.restarts += 1


class Load:
    """So many cases of four agencies, each sent `copies` times; what the broker has confirmed is acknowledged.

    With `poison_every`, the record `poison` comes after each so many, under a key of its own.
    """

    def __init__(
        self,
        bus: Bus,
        events: int,
        *,
        copies: int = 1,
        poison_every: int = 0,
        poison: bytes = b"\x00" * 40,
        content: str = "Đèn đường trên phố hỏng đã ba tuần.",
        per_second: float = PER_SECOND,
    ) -> None:
        self.lines: list[Line] = []
        self._bus, self._events, self._copies, self._content = bus, events, copies, content
        self._poison_every, self._poison = poison_every, poison
        self._per_second = per_second
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the broker has everything."""
        self._thread.join(300)
        assert not self._thread.is_alive()

    @property
    def running(self) -> bool:
        """True while something is still to be sent."""
        return self._thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic()
        for first in range(1, self._events // len(AGENCIES) + 1, TOGETHER):
            time.sleep(max(0.0, due - time.monotonic()))
            due += len(AGENCIES) * TOGETHER / self._per_second
            for place, agency in enumerate(AGENCIES):
                self._send(agency, place * 1_000_000, range(first, first + TOGETHER))

    def _send(self, agency: str, offset: int, numbers: range) -> None:
        records: list[tuple[bytes, bytes]] = []
        for number in numbers:
            case = receipt(f"{agency}-{number:06}", offset + number, content=self._content)
            event = Event(envelope(offset + number, agency, number), case)
            records.append((event.key.encode(), value_of(event, self._bus.schema_ids)))
        records *= self._copies
        if self._poison_every and numbers.start % self._poison_every < TOGETHER:
            records.insert(TOGETHER // 2, (b"poison", self._poison))
        self._bus.publish(agency, records)
        self.lines += [{"saw": "acknowledged", **case_line(agency, number)} for number in numbers]


def case_line(agency: str, number: int) -> Line:
    """An event, named by its case."""
    return {"id": f"{agency}-{number:06}", "source": f"{agency}/www", "epoch": 1, "sequence": number}


class Outcome(NamedTuple):
    """What came of a run: the history's report, and what the processes went through."""

    report: Report
    restarts: int
    largest_mb: float


def run(
    bus: Bus,
    program: Program,
    load: Callable[[Bus], Load],
    fault: Callable[[Pair, Load], None],
    variables: Mapping[str, str],
) -> Outcome:
    """Puts a program under load and faults, waits until it has done everything or moves no more, and judges it."""
    pair = Pair(bus, program, **variables)
    try:
        wait_for_lanes(bus, pair)
        sending = load(bus)
        fault(pair, sending)
        sending.wait()
        effects = wait_until_quiet(bus, program, len(sending.lines))
    finally:
        pair.end()
    return Outcome(check([*sending.lines, *effects], stages=("effect",)), pair.restarts, pair.largest_mb)


def wait_for_lanes(bus: Bus, pair: Pair) -> None:
    """Until a first event of each lane has taken effect: before that, nobody is at work yet."""
    for agency in AGENCIES:
        number = 900_000 + AGENCIES.index(agency)
        first = Event(envelope(number, agency, 1, portal="edu"), receipt(f"{agency}-first", number))
        bus.publish(agency, [(first.key.encode(), value_of(first, bus.schema_ids))])
    bus.wait_until(lambda: len(took_effect(bus, pair.program, first=True)) == len(AGENCIES), "all are at work", 120)


def took_effect(bus: Bus, program: Program, *, first: bool = False) -> list[Line]:
    """What took effect, in the order in which it did; the first events of the lanes alone, or all but these.

    Nothing, when the database is away.
    """
    try:
        with psycopg.connect(bus.database_url, autocommit=True) as look:
            rows = look.execute(program.effects).fetchall()
    except psycopg.OperationalError:
        return []
    found = []
    for position, case in rows:
        agency, _, number = case.partition("-")
        if (number == "first") == first:
            line = {"id": case} if first else case_line(agency, int(number))
            found.append({"saw": "effect", **line, "position": position})
    return found


def wait_until_quiet(bus: Bus, program: Program, wanted: int) -> list[Line]:
    """What took effect, once everything has, or once nothing has moved for long; both kept for a moment longer."""
    effects, since = took_effect(bus, program), time.monotonic()
    while time.monotonic() - since < (2.0 if len({line["id"] for line in effects}) == wanted else QUIET_SECONDS):
        time.sleep(0.5)
        now = took_effect(bus, program)
        if len(now) != len(effects):
            effects, since = now, time.monotonic()
    return effects
