"""Parked records on a whole bus: what the portal hears, what the operator's commands do, and the worker that stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bus_events import receipt
from ledger_facts import one, rows
from portal_events import directive, feedback
from portalbus.infra.cli import main
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal, Verdict
from portalbus.schemas.codec import encode_event
from portalbus.schemas.findings import Finding
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.identifiers import new_event_id, new_public_code
from portalbus.schemas.models import Envelope, Event, FeedbackReceived
from whole_bus import Bus, Running

AGENCIES = ("G22", "H26", "H29", "G09")
PARKING_STOPPED = 78


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


def command(bus: Bus, capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    """What a command of `portalbus` prints as JSON."""
    known = ["--database-url", bus.database_url, "--json"]
    if argv[0] == "parked" and argv[1] in ("show", "redrive", "discard"):
        known += ["--registry-url", bus.endpoints.registry_url]
    capsys.readouterr()
    assert main([*argv, *known]) == status
    return json.loads(capsys.readouterr().out)


def unread(bus: Bus, agency: str, sequence: int, payload: FeedbackReceived) -> tuple[bytes, bytes, list[Any]]:
    """A record as a source sends it, its value cut short on the way into the SDK's outbox."""
    now = datetime.now().astimezone()
    head = Envelope(
        id=new_event_id(),
        agency=agency,
        portal="old",
        epoch=1,
        sequence=sequence,
        occurred_at=now,
        published_at=now,
    )
    event = Event(head, payload)
    value = encode_event(event, bus.schema_ids["FeedbackReceived"])
    return event.key.encode(), value[:-9], cloudevents_headers(head, "FeedbackReceived")


def test_a_portal_hears_why_an_event_was_refused_or_parked_and_what_became_of_it(
    bus: Bus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bus.start_worker()
    bus.start_relay()
    heard: list[Verdict] = []
    where = {"bootstrap": bus.endpoints.bootstrap, "registry_url": bus.endpoints.registry_url, "outbox": tmp_path / "o"}
    with Portal("H26", "old", **where, verdicts=True, on_verdict=heard.append) as portal:  # type: ignore[arg-type]
        first = portal.publish(feedback(1))
        again = portal.publish(feedback(1))
        bus.wait_until(lambda: portal.verdict_of(again.event_id), "the refusal")
        refused = portal.verdict_of(again.event_id)
        assert refused is not None
        assert (refused.status, refused.rule, refused.path, refused.final) == (
            "REJECTED",
            "case.already-received",
            "/case_id",
            True,
        )
        for texts in (refused.message, refused.mend):
            assert texts is not None
            assert len({texts.vi, texts.en, texts.zh}) == 3
        accepted = portal.verdict_of(first.event_id)
        assert accepted is not None
        assert accepted.rule == "event.accepted"

        key, value, headers = unread(bus, "H26", 3, feedback(2))
        bus.publish_records("H26", [(key, value, headers)])
        event_id = dict(headers)["ce_id"].decode()
        bus.wait_until(lambda: portal.verdict_of(event_id), "the verdict on what cannot be read")
        parked = portal.verdict_of(event_id)
        assert parked is not None
        assert (parked.status, parked.final, parked.rule) == ("PARKED", False, "record.undecodable")

        place = f"H26@{parked.offset}"
        (group,) = command(bus, capsys, "parked", "list")
        assert (group["reason"], group["records"], group["agencies"]) == ("record.undecodable", 1, ["H26"])
        shown = command(bus, capsys, "parked", "show", place, "--raw", str(tmp_path / "raw"))
        assert (tmp_path / "raw").read_bytes() == value
        assert shown["reads"]["record"] == "FeedbackReceived"
        assert shown["reads"]["fields"]["envelope"]["portal"] == "old"
        assert "while decoding" in shown["reads"]["problem"]
        assert shown["hex"] == value.hex()
        text = ["--database-url", bus.database_url]
        assert main(["parked", "list", *text]) == 0
        assert main(["parked", "list", "--records", *text]) == 0
        assert main(["parked", "show", place, "--registry-url", bus.endpoints.registry_url, *text]) == 0
        assert main(["verdicts", "--check", *text]) == 0
        printed = capsys.readouterr().out
        for said in ("record.undecodable", place, "breaks", "ce_sequence: 3", "00000000  00 00", "exactly one final"):
            assert said in printed
        for lang in ("vi", "en", "zh"):
            asked = ["parked", "show", place.lower(), "--lang", lang, "--registry-url", bus.endpoints.registry_url]
            assert main([*asked, *text]) == 0
            assert getattr(Finding("record.undecodable").message, lang) in capsys.readouterr().out
        (still,) = command(bus, capsys, "parked", "redrive", place, "--why", "try", "--by", "han", status=1)
        assert still["parked"]
        (gone,) = command(bus, capsys, "parked", "discard", place, "--why", "cut short at the portal", "--by", "han")
        assert gone["rule"] == "parked.discarded"
        text = ["--registry-url", bus.endpoints.registry_url, "--database-url", bus.database_url]
        capsys.readouterr()
        for action in ("redrive", "discard"):
            assert main(["parked", action, place, "H26@99999", "--why", "once more", *text]) == 1
            answered = capsys.readouterr()
            assert f"{place} was discarded by han at 20" in answered.err
            assert "(cut short at the portal), with the verdict REJECTED [parked.discarded]" in answered.err
            assert "H26@99999 is not parked and never was" in answered.err
            assert "nothing of the kind" not in answered.out
        assert main(["parked", "redrive", "--agency", "H29", "--why", "whatever there is", *text]) == 0
        assert "nothing of the kind is parked" in capsys.readouterr().out
        bus.wait_until(lambda: len([found for found in heard if found.event_id == event_id]) == 2, "the last word")
        assert [(found.status, found.final) for found in heard if found.event_id == event_id] == [
            ("PARKED", False),
            ("REJECTED", True),
        ]
        decided = command(bus, capsys, "parked", "show", place)["decisions"]
        assert [(item["action"], item["decided_by"]) for item in decided] == [("redrive", "han"), ("discard", "han")]
        assert portal.publish(directive(5)).sequence == 3
        assert portal.flush(30)
        bus.wait_until(lambda: len(heard) >= 5, "the next event's verdict")
    assert command(bus, capsys, "parked", "list") == []
    proof = command(bus, capsys, "verdicts", "--check")
    assert (proof["holds"], proof["problems"]) == (True, [])


def test_a_bad_deployment_stops_the_worker_until_somebody_says_how_to_go_on(
    bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    for agency in AGENCIES:
        good = [receipt(f"{agency}-{number:04}", public_code=new_public_code()) for number in range(1, 26)]
        bus.publish_records(agency, [unread(bus, agency, number, said) for number, said in enumerate(good, start=1)])
    worker = bus.start_worker()
    bus.wait_until(lambda: worker.process.poll() is not None, "the worker to stop")
    assert worker.process.returncode == PARKING_STOPPED, worker.text()
    (stopped,) = worker.said("worker.parking-stopped")
    assert "cannot be read" in stopped["reason"]
    assert one(bus.look, "select count(*) from ledger.parked") < 60
    assert rows(bus.look, "select kind, closed_at from ledger.alert") == [("parking.stopped", None)]
    before = bus.position()
    assert_stops_again(bus)
    assert bus.position() == before, "it takes nothing in, however often it is started"

    command(bus, capsys, "parked", "allow", "--why", "the portals' own fault: tests", "--by", "han")
    bus.start_worker()
    bus.wait_until(lambda: all(bus.next_offset(agency) == 25 for agency in AGENCIES), "everything to be parked")
    assert one(bus.look, "select count(*) from ledger.parked") == 100
    bus.wait_until(lambda: one(bus.look, "select closed_at from ledger.alert"), "the alert to be closed")
    assert command(bus, capsys, "verdicts", "--check")["holds"]


def assert_stops_again(bus: Bus) -> None:
    again: Running = bus.start_worker()
    bus.wait_until(lambda: again.process.poll() is not None, "the worker to stop again")
    assert again.process.returncode == PARKING_STOPPED, again.text()
