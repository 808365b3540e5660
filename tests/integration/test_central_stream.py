"""The stream of events over a real ledger: each once, in order, whoever was away for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest

from central_process import CentralProcess
from event_stream_reader import Sent, events
from ledger_rows import LedgerRows, answer, directive, feedback

ADDRESS = "/api/v1/stream"
CODE = "7GQ2M0Z4KX9A"


@pytest.fixture(scope="module")
def portal(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A portal with a short memory and short heartbeats."""
    options = ("--stream-history", "50", "--heartbeat", "0.3", "--stream-readers", "6", "--streams-per-address", "4")
    process = CentralProcess(ledger_url, tmp_path_factory.mktemp("stream") / "log", *options)
    process.wait_until()
    yield process
    assert process.stop() == 0, process.log.read_text()


@contextmanager
def listening(portal: CentralProcess, query: str = "", last: str = "") -> Iterator[Iterator[Sent]]:
    """A reader of the stream, when it is connected."""
    headers = {"Last-Event-ID": last} if last else {}
    with httpx2.stream("GET", f"{portal.address}{ADDRESS}{query}", headers=headers, timeout=10) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


def heartbeat(stream: Iterator[Sent]) -> Sent:
    """The next heartbeat: from then on, what is written is live for this reader."""
    return next(one for one in stream if one.event == "heartbeat")


def wait_for_position(portal: CentralProcess, position: str) -> None:
    """Waits until the portal has read the ledger up to a position."""
    with listening(portal) as stream:
        assert any(one.id == position for one in islice(stream, 100) if one.event == "heartbeat")


def subjects(stream: Iterator[Sent], count: int) -> list[Any]:
    """The subjects of the next events."""
    found: list[Any] = []
    for one in stream:
        if one.event not in ("heartbeat", "reset"):
            found.append(one.data.get("subject"))
        if len(found) == count:
            break
    return found


def test_events_come_live_as_cloudevents_without_anything_personal(portal: CentralProcess, ledger: LedgerRows) -> None:
    with listening(portal) as stream:
        heartbeat(stream)
        ledger.publish(directive("a", body="rất dài"), "H26")
        ledger.receive(feedback("H26-0001", CODE, subject="bí mật", content="rất bí mật"))
        ledger.resolve(answer("H26-0001", public=False, answer="kín"), "H26")
        found = []
        for one in stream:
            if one.event != "heartbeat":
                found.append(one)
            if len(found) == 3:
                break
    assert [one.event for one in found] == ["DirectivePublished", "FeedbackReceived", "FeedbackResolved"]
    published = found[0].data
    assert (published["specversion"], published["type"]) == ("1.0", "portalbus.events.DirectivePublished")
    assert (published["source"], published["subject"], published["position"]) == ("/H26/www", "H26/a", found[0].id)
    assert published["data"]["title"] and "body" not in published["data"]
    assert found[2].data["data"]["outcome"] == "ANSWERED"
    for one in found[1:]:
        for secret in (CODE, "H26-0001", "bí mật", "kín", "p-7c1"):
            assert secret not in one.text


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(portal: CentralProcess, ledger: LedgerRows) -> None:
    with listening(portal) as stream:
        last = heartbeat(stream).id
    wanted: list[str] = []
    read: list[str] = []
    writing = threading.Thread(target=lambda: wanted.extend(ledger.publish(directive(f"d-{n}")) for n in range(40)))
    writing.start()
    while len(read) < 40:
        with listening(portal, last=last) as stream:
            for one in stream:
                last = one.id
                if one.event != "heartbeat":
                    read.append(one.data["subject"])
                if len(read) % 7 == 0 or len(read) == 40:
                    break
    writing.join()
    assert read == wanted


def test_a_reader_hears_only_what_it_asked_for_but_its_place_moves_on(
    portal: CentralProcess, ledger: LedgerRows
) -> None:
    query = "?agency=H26&agency=G01&type=DirectivePublished&lang=en"
    with listening(portal, query) as stream:
        heartbeat(stream)
        ledger.publish(directive("a"), "H26")
        ledger.publish(directive("b", language="en"), "G22")
        ledger.publish(directive("c", language="en-GB"), "H26")
        ledger.receive(feedback("H26-0001", CODE))
        assert subjects(stream, 1) == ["H26/c"]
        ledger.publish(directive("d"), "H26")
        assert next(one for one in stream if one.event != "heartbeat" or int(one.id) >= 5).event == "heartbeat"


def test_who_was_away_too_long_is_told_to_begin_anew(portal: CentralProcess, ledger: LedgerRows) -> None:
    for number in range(60):
        ledger.publish(directive(f"d-{number}"))
    with listening(portal, last="20") as stream:
        assert subjects(stream, 2) == ["G22/d-20", "G22/d-21"]
    for place, reason in (("3", "too-old"), ("100000", "unknown-position")):
        wait_for_position(portal, "60")
        with listening(portal, last=place) as stream:
            first = next(one for one in stream if one.event != "heartbeat")
            assert (first.event, first.data["reason"], first.id) == ("reset", reason, "60")
            ledger.publish(directive(f"after-{reason}", language="en"))
            assert subjects(stream, 1) == [f"G22/after-{reason}"]
        ledger.empty()
        for number in range(60):
            ledger.publish(directive(f"d-{number}"))


def test_readers_are_bounded_and_let_go(
    portal: CentralProcess, ledger: LedgerRows, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    def room() -> bool:
        with httpx2.stream("GET", f"{portal.address}{ADDRESS}", timeout=10) as response:
            return response.status_code == 200

    assert eventually(room)
    with listening(portal), listening(portal), listening(portal), listening(portal):
        refused = httpx2.get(f"{portal.address}{ADDRESS}", timeout=10)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
    assert eventually(room)


def test_a_wrong_type_is_refused(portal: CentralProcess) -> None:
    answer = httpx2.get(f"{portal.address}{ADDRESS}?type=Canary", timeout=10)
    assert answer.status_code == 422
    assert "DirectivePublished" in answer.json()["detail"]


def test_the_stream_is_documented_on_the_page_of_the_api(portal: CentralProcess) -> None:
    assert "/api/v1/stream" in httpx2.get(f"{portal.address}/vi/api", timeout=10).text


def test_the_portal_ends_at_once_with_readers_connected(ledger_url: str, tmp_path: Path) -> None:
    process = CentralProcess(ledger_url, tmp_path / "log", "--heartbeat", "0.2")
    process.wait_until()
    with listening(process) as stream:
        heartbeat(stream)
        assert process.stop() == 0
