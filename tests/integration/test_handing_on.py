"""The rules of competence hand on what the Government Portal was sent: once, explained, and never by a guess."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bus_events import Lane, answer, progress, receipt, writers
from ledger_facts import one, rows
from memory_ledger import directory
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.producers.testing.bus import InProcessBus, PublishedEvent
from portalbus.schemas.law.competence import Competence
from portalbus.schemas.law.limits import Limits
from portalbus.schemas.models import CaseStep, CaseUrgency
from portalbus.streams.casework.handing_on import HandedOn, RuleDesk
from portalbus.streams.ledger.case_desk import record_decision
from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.reading.undecided import undecided
from portalbus.streams.rebuilding.fold_tables import FOLD
from portalbus_command import COMMAND
from whole_bus import Bus

AGENCIES = ("G22", "H26", "H29")
WHY = "Lao động và việc làm nay thuộc Bộ Nội vụ theo Nghị quyết 176/2025/QH15."
RECORDED = "select event_id::text from ledger.case_decision order by id"


def said_as(event: PublishedEvent) -> tuple[str, str]:
    return event.envelope.id, event.envelope.portal


class Centre:
    """Lanes and a ledger, an in-process broker to which the rules speak, and what they said, judged."""

    def __init__(self, url: str, bus: InProcessBus, folder: Path) -> None:
        self.url, self.bus, self.folder = url, bus, folder
        self.look = psycopg.connect(url, autocommit=True)
        names = ", ".join(f'ledger."{table.name}"' for table in FOLD)
        self.look.execute(f"truncate {names}, ledger.step, ledger.case_decision, ledger.hearing restart identity")
        self.look.execute("update ledger.position set next = 1")
        self.lanes = {agency: Lane(agency) for agency in AGENCIES}
        self.ledger = Ledger(url, writers(), directory())
        self.ledger.open_lanes(AGENCIES)
        self.heard = {said_as(event) for event in bus.published("G22")}

    def says(self, agency: str, *payloads: Any, **envelope: Any) -> None:
        self.ledger.take_in([self.lanes[agency].say(payload, **envelope) for payload in payloads])

    def judges(self, at_least: int) -> list[str]:
        """What came on the centre's lane since the last time goes through judgement; the ids of the events."""
        events = self.hears(at_least)
        for event in events:
            self.says("G22", event.payload, id=event.envelope.id, portal=event.envelope.portal)
        return [event.envelope.id for event in events]

    def hears(self, at_least: int) -> list[PublishedEvent]:
        """What came on the centre's lane since the last time."""
        self.lanes["G22"].now = datetime.now(UTC)
        found = self.bus.published("G22", at_least=len(self.heard) + at_least)
        new = [event for event in found if said_as(event) not in self.heard]
        self.heard |= {said_as(event) for event in new}
        return new

    def voice(self, host: str = "one") -> Portal:
        return Portal(
            *("G22", f"rules-{host}"),
            bootstrap=self.bus.bootstrap,
            registry_url=self.bus.registry_url,
            outbox=self.folder / host,
        )

    def hands_on(self, voice: Any, most: int = 100) -> list[HandedOn]:
        with connect(self.url, application="test", autocommit=True) as connection:
            return RuleDesk(connection, voice, Competence.read(), directory(), Limits.read()).hand_on(most)

    def command(self, *argv: str) -> int:
        return run(["cases", *argv, "--database-url", self.url, "--json"])

    def owners(self) -> dict[str, str]:
        return dict(rows(self.look, "select case_id, owner from ledger.case"))

    def waiting(self) -> dict[str, str]:
        found = undecided(self.look, directory(), Competence.read(), datetime.now(UTC).date())
        return {one.case.case_id: one.cause.value for one in found}

    def close(self) -> None:
        self.ledger.close()
        self.look.close()


@pytest.fixture(scope="module")
def in_process() -> Iterator[InProcessBus]:
    with InProcessBus() as bus:
        bus.open_lane("G22")
        yield bus


@pytest.fixture
def centre(ledger_url: str, in_process: InProcessBus, tmp_path: Path) -> Iterator[Centre]:
    found = Centre(ledger_url, in_process, tmp_path)
    yield found
    found.close()


def received(case: str, code: int, **values: Any) -> Any:
    return receipt(case, code, **({"field": "Giao thông", "area": "01"} | values))


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_only_what_lies_untouched_with_the_centre_and_goes_to_one_body_is_listed(
    centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    assert centre.command("route") == 0
    assert printed(capsys) == []
    untouched = {f"G22-000{number}": number for number in range(1, 10)}
    centre.says("G22", *(received(case, number) for case, number in untouched.items()))
    centre.says("G22", received("G22-0011", 11, field="An sinh xã hội", area=None))
    centre.says("G22", received("G22-0012", 12, field="Chỉ đạo, điều hành", area=None))
    centre.says("G22", received("G22-0013", 13, subject="", content="", diverted="DENUNCIATION"))
    centre.says("H26", received("H26-0001", 14, area="04"), received("H26-0002", 15, addressed_to="G22"))
    centre.says("H29", received("H29-0001", 16, addressed_to="G22", urgency=CaseUrgency.URGENT))
    centre.says("G22", progress(CaseStep.ACCEPTED, "G22-0002"), answer("G22-0003"))
    centre.says("G22", progress(CaseStep.CLARIFICATION_ASKED, "G22-0004"), progress(CaseStep.WITHDRAWN, "G22-0005"))
    centre.says("G22", progress(CaseStep.TRANSFERRED, "G22-0006", to_agency="H29"))
    centre.says("H29", progress(CaseStep.TRANSFERRED, "G22-0006", to_agency="G22"))
    centre.says("G22", progress(CaseStep.TRANSFERRED, "G22-0007", to_agency="G22"))  # a loop: somebody is at it
    centre.says("G22", progress(CaseStep.URGENCY_CHANGED, "G22-0008", urgency=CaseUrgency.URGENT))
    with connect(centre.url, application="test") as connection:
        record_decision(connection, "G22-0009", "0" * 8 + "-0000-4000-8000-" + "0" * 12, "G09", who="lan", why=WHY)
    assert centre.command("route") == 1
    found = printed(capsys)
    assert [case["case_id"] for case in found] == ["G22-0008", "H29-0001", "G22-0001"]
    first = found[-1]
    assert (first["to"], first["rules"], first["level"]) == ("H26", ["local.province.2025"], "L1")
    assert (first["field"], first["area"], first["day"], first["judged"]) == ("Giao thông", "01", "2026-11-20", None)
    assert "72/2025/QH15" in first["legal_basis"][0] and "local.province.2025" in first["why"]
    assert centre.waiting() == {
        "G22-0006": "sent-up",
        "G22-0007": "transfer-refused",
        "G22-0011": "not-ruled",
        "H26-0002": "not-ruled",
    }


def test_a_case_is_handed_on_once_and_explained(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    centre.says("G22", *(received(f"G22-000{number}", number) for number in (1, 2, 3)))
    with centre.voice() as voice:
        handed = centre.hands_on(voice, most=2)
        assert centre.hands_on(voice) != [], "the third"
        assert centre.hands_on(voice) == [], "while they wait to be judged"
        assert set(centre.judges(at_least=3)) == {event for (event,) in rows(centre.look, RECORDED)}
        assert set(centre.owners().values()) == {"H26"}
        assert centre.hands_on(voice) == []
    assert [(case.case_id, case.to) for case in handed] == [("G22-0001", "H26"), ("G22-0002", "H26")]
    capsys.readouterr()
    assert centre.command("decisions", "G22-0001") == 0
    (kept,) = printed(capsys)
    assert (kept["from_agency"], kept["to_agency"], kept["decided_by"], kept["rule"]) == (
        *("G22", "H26", "rules", "event.accepted"),
    )
    assert kept["why"] == handed[0].why
    assert run(["trace", "G22-0001", "--database-url", centre.url, "--json"]) == 0
    assert handed[0].why in printed(capsys)["rows"]["case"]["decided"]


class Killed(Exception):
    """The process ends between the decision and its word."""


class Mute:
    """A voice that dies as it opens its mouth."""

    def publish(self, *_: Any, **__: Any) -> None:
        raise Killed


def test_who_was_killed_between_decision_and_step_is_spoken_for_by_the_next_and_the_ledger_takes_it_once(
    centre: Centre,
) -> None:
    centre.says("G22", received("G22-0001", 1))
    with pytest.raises(Killed):
        centre.hands_on(Mute())
    with centre.voice() as voice, centre.voice("two") as another:
        assert centre.hands_on(voice) == []
        centre.look.execute("update ledger.case_decision set decided_at = decided_at - interval '20 seconds'")
        for speaking in (voice, voice, another):
            assert centre.hands_on(speaking) == []
        said = centre.judges(at_least=2)
    ((decided,),) = rows(centre.look, RECORDED)
    assert said == [decided] * 2, "from each outbox once"
    assert rows(centre.look, "select status from ledger.event where agency = 'G22' order by lane_offset") == [
        *(("ACCEPTED",), ("ACCEPTED",), ("DUPLICATE",)),
    ]
    assert rows(centre.look, "select owner, passed from ledger.case") == [("H26", ["G22", "H26"])]


def test_what_was_written_down_long_ago_and_not_judged_is_a_persons(centre: Centre) -> None:
    centre.says("G22", received("G22-0001", 1))
    with pytest.raises(Killed):
        centre.hands_on(Mute())
    assert centre.waiting() == {}
    centre.look.execute("update ledger.case_decision set decided_at = decided_at - interval '61 minutes'")
    assert centre.hands_on(Mute()) == [], "and nobody says it any more"
    assert centre.waiting() == {"G22-0001": "not-ruled"}


def test_two_at_once_decide_about_each_case_once(centre: Centre) -> None:
    cases = [f"G22-{number:04}" for number in range(40)]
    centre.says("G22", *(received(case, number) for number, case in enumerate(cases)))
    with centre.voice() as one_voice, centre.voice("two") as another, ThreadPoolExecutor(2) as pool:
        handed: Sequence[list[HandedOn]] = list(pool.map(centre.hands_on, (one_voice, another)))
        said = centre.judges(at_least=len(cases))
    assert sorted(case.case_id for some in handed for case in some) == cases
    assert len(set(said)) == len(said) == len(cases) == one(centre.look, "select count(*) from ledger.case_decision")
    assert set(centre.owners().values()) == {"H26"}


def test_what_the_judge_refuses_the_rules_to_hand_on_is_a_persons(centre: Centre) -> None:
    centre.says("G22", received("G22-0001", 1))
    with centre.voice() as voice:
        centre.hands_on(voice)
        centre.says("G22", progress(CaseStep.WITHDRAWN, "G22-0001"))  # it was on its way already
        centre.judges(at_least=1)
        centre.says("G22", progress(CaseStep.REOPENED, "G22-0001"))
        assert centre.hands_on(voice) == [], "somebody took it up"
        centre.says("G22", received("G22-0002", 2))
        centre.hands_on(voice)
        centre.look.execute("update ledger.case_decision set to_agency = 'G22' where case_id = 'G22-0002'")
        (event,) = centre.hears(at_least=1)
        loop = event.payload.model_copy(update={"to_agency": "G22"})  # as if the directory had changed meanwhile
        centre.says("G22", loop, id=event.envelope.id, portal="rules-one")
        assert centre.hands_on(voice) == []
    assert centre.waiting() == {"G22-0002": "transfer-refused"}


def test_nothing_is_handed_on_while_nobody_knows_what_the_centre_has_said(centre: Centre) -> None:
    centre.says("G22", received("G22-0001", 1))
    hear = "insert into ledger.hearing (agency, heard_since, heard_until) values ('G22', now(), now() - %s::interval)"
    centre.look.execute(hear, ("2 minutes",))
    assert centre.hands_on(Mute()) == []
    centre.look.execute("update ledger.hearing set heard_until = now()")
    with centre.voice() as voice:
        assert len(centre.hands_on(voice)) == 1
    centre.look.execute("truncate ledger.hearing")


def test_the_watch_waits_for_a_database_that_is_away_and_ends_when_it_is_told(
    in_process: InProcessBus, tmp_path: Path
) -> None:
    where = ["--bootstrap", in_process.bootstrap, "--registry-url", in_process.registry_url, "--outbox", str(tmp_path)]
    watching = subprocess.Popen(
        [*COMMAND, "cases", "route", "--watch", "--database-url", "postgresql://x@127.0.0.1:9/x", *where],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    try:
        said = next(line for line in watching.stderr if "looking again" in line)
    finally:
        watching.send_signal(signal.SIGTERM)
    assert "OperationalError" in said
    assert watching.wait(30) == 0


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    made = Bus(endpoints, tmp_path / "bus", ("G22", "H26"))
    made.folder.mkdir()
    made.open()
    for name, value in {**made.environment, "PORTALBUS_OUTBOX": str(tmp_path / "outbox")}.items():
        monkeypatch.setenv(name, value)
    made.start_worker()
    made.start_casework()
    yield made
    made.close()


def test_on_the_bus_a_case_goes_to_its_province_and_its_clock_begins_there(
    bus: Bus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    ends = bus.endpoints
    with Portal("G22", bootstrap=ends.bootstrap, registry_url=ends.registry_url, outbox=tmp_path / "portal") as portal:
        portal.publish(received("G22-0001", 1, received_at=now))
        portal.publish(received("G22-0002", 2, field="An sinh xã hội", area=None, received_at=now))
        handled = "select agency, ended_at is null from casework.handling where case_id = 'G22-0001' order by number"
        bus.wait_until(lambda: len(rows(bus.look, handled)) == 1, "the receipt")
        assert run(["cases", "route", "--apply"]) == 0
        assert "G22-0001" in (said := capsys.readouterr().out) and "event.accepted" in said
        assert rows(bus.look, "select case_id, owner from ledger.case order by case_id") == [
            *(("G22-0001", "H26"), ("G22-0002", "G22")),
        ]
        handlings = [("G22", False), ("H26", True)]
        bus.wait_until(lambda: rows(bus.look, handled) == handlings, "the clock of the province")
        assert run(["cases", "route", "--apply", "--json"]) == 0
        assert printed(capsys) == [], "nothing is left to do"
        assert run(["cases", "undecided", "--json"]) == 1
        assert [case["case"]["case_id"] for case in printed(capsys)] == ["G22-0002"]
        assert run(["cases", "mismatches", "--json"]) == 0
        assert printed(capsys) == [], "the case is where the rules want it"
        watching = subprocess.Popen(
            [*COMMAND, "cases", "route", "--watch", "--every", "0.2", "--json"],
            env=os.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            portal.publish(received("G22-0003", 3, received_at=now))
            assert watching.stdout is not None
            told = json.loads(watching.stdout.readline())
            owner = "select owner from ledger.case where case_id = 'G22-0003'"
            bus.wait_until(lambda: one(bus.look, owner) == "H26", "what it said")
        finally:
            watching.send_signal(signal.SIGTERM)
        assert watching.wait(30) == 0
    assert (told["case_id"], told["to"]) == ("G22-0003", "H26")
    assert told["judged"] in (None, "event.accepted"), "what takes longer than a look is not waited for"
    assert one(bus.look, "select count(*) from ledger.event where event_type = 'FeedbackProgressed'") == 2
