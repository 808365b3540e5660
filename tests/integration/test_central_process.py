"""The central portal as a process: starts while the ledger is away, stops in order, stays small and quiet."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from central_process import CentralProcess
from ledger_rows import LedgerRows, directive, feedback
from portalbus.connectors.central.__main__ import settings_from

Start = Callable[..., CentralProcess]
HEADERS = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
)


@pytest.fixture
def start(ledger_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts further portal processes and ends them after the test."""
    started: list[CentralProcess] = []

    def start(*arguments: str, database_url: str = ledger_url) -> CentralProcess:
        process = CentralProcess(database_url, tmp_path / f"{len(started)}.log", *arguments)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def test_a_portal_name_that_is_none_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTALBUS_DATABASE", "postgresql://nobody@127.0.0.1/nothing")
    with pytest.raises(SystemExit) as ended:
        settings_from(["--outbox-portal", "Desk"])
    assert ended.value.code == 2 and "--outbox-portal 'Desk'" in capsys.readouterr().err


def test_every_answer_carries_the_headers_that_protect_it(central: CentralProcess, ledger: LedgerRows) -> None:
    for path in ("/vi/", "/vi/nothing", "/api/v1/directives", "/api/v1/nothing", "/healthz", "/"):
        headers = httpx2.get(f"{central.address}{path}").headers
        assert all(name in headers for name in HEADERS), path
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def test_a_visitor_is_sent_to_the_language_of_the_browser(central: CentralProcess) -> None:
    for wanted, language in (("zh-CN", "zh"), ("en-US,en", "en"), ("de", "vi")):
        answer = httpx2.get(central.address, headers={"accept-language": wanted}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, f"/{language}/")


def test_too_many_look_ups_of_one_address_are_slowed_down(start: Start, ledger: LedgerRows) -> None:
    portal = start("--lookups-per-minute", "3")
    portal.wait_until()
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    answers = [httpx2.get(f"{portal.address}/api/v1/feedback/7GQ2M0Z4KX9A") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[3].headers["retry-after"]) <= 20
    page = httpx2.get(f"{portal.address}/en/feedback/7GQ2M0Z4KX9A")
    assert page.status_code == 429
    assert "try again in" in page.text
    elsewhere = httpx2.get(f"{portal.address}/en/feedback/7GQ2M0Z4KX9A", headers={"x-forwarded-for": "203.0.113.9"})
    assert elsewhere.status_code == 200


def test_it_starts_without_a_ledger_and_says_so(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing"
        portal = start(database_url=nowhere)
        portal.wait_until("/healthz")
        assert httpx2.get(f"{portal.address}/readyz", timeout=10).status_code == 503
        page = httpx2.get(f"{portal.address}/en/", timeout=10)
        assert page.status_code == 503
        assert page.headers["retry-after"]
        assert "briefly unavailable" in page.text
        problem = httpx2.get(f"{portal.address}/api/v1/directives", timeout=10)
        assert problem.headers["content-type"] == "application/problem+json"


def test_it_stops_in_order_while_pages_are_live(start: Start, ledger: LedgerRows) -> None:
    portal = start()
    portal.wait_until()
    with httpx2.stream("GET", f"{portal.address}/vi/live", timeout=20) as live:
        lines = live.iter_lines()
        assert next(lines) == "event: hello"
        assert portal.stop() == 0
    logged = [json.loads(line) for line in portal.log.read_text().splitlines()]
    assert [line["event"] for line in logged] == ["central.starting", "central.stopped"]


def test_a_port_in_use_ends_it_with_a_status(central: CentralProcess, ledger_url: str) -> None:
    port = central.address.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "portalbus.connectors.central", "--database-url", ledger_url, "--port", port],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert b"choose another port" in second.stderr


def test_without_a_ledger_named_it_says_what_is_missing() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "portalbus.connectors.central"], capture_output=True, timeout=30, check=False, env={}
    )
    assert refused.returncode == 2
    assert b"PORTALBUS_DATABASE" in refused.stderr


def test_it_is_small(central: CentralProcess, ledger: LedgerRows) -> None:
    for number in range(30):
        ledger.publish(directive(f"d-{number}"))
    for path in ("/vi/", "/en/search?q=ket+noi", "/zh/agencies", "/vi/api", "/api/v1/openapi.json") * 5:
        assert httpx2.get(f"{central.address}{path}").status_code == 200
    megabytes = psutil.Process(central.pid).memory_info().rss / 2**20
    assert megabytes < 120, f"{megabytes:.0f} MB"


def test_a_live_page_catches_up_after_it_was_cut_off(central: CentralProcess, ledger: LedgerRows) -> None:
    first = ledger.publish(directive("a"))
    position = int(httpx2.get(f"{central.address}/api/v1/directives/{first}").json()["position"])
    second = ledger.publish(directive("b"))
    told: list[str] = []
    with httpx2.stream(
        "GET", f"{central.address}/en/live", headers={"last-event-id": str(position)}, timeout=20
    ) as live:
        for line in live.iter_lines():
            told.append(line)
            if line.startswith("id: "):
                break
    text = "\n".join(told)
    assert f'data-key="{second}"' in text
    assert f'data-key="{first}"' not in text


@pytest.mark.parametrize(
    "odd", ["%00", "%ff%fe", "%E2%91%B4", "%27%22%3B--", "..%2f..%2fetc", "%0d%0aX-A:%20b", "9" * 4_000]
)
def test_an_odd_address_is_refused_and_breaks_nothing(central: CentralProcess, ledger: LedgerRows, odd: str) -> None:
    ledger.publish(directive("a"))
    for path in (
        f"/vi/{odd}",
        f"/{odd}/",
        f"/vi/search?q={odd}",
        f"/vi/search?agency={odd}&lang={odd}&after={odd}",
        f"/vi/directives/G22/{odd}",
        f"/vi/directives/G22/a?version={odd}",
        f"/vi/feedback/{odd}",
        f"/vi/feedback?code={odd}",
        f"/vi/agencies/{odd}",
        f"/api/v1/directives?q={odd}&cursor={odd}",
        f"/api/v1/directives/{odd}/{odd}",
        f"/api/v1/feedback/{odd}",
        f"/api/v1/agencies/{odd}/sources",
        f"/static/{odd}",
    ):
        answer = httpx2.get(f"{central.address}{path}", follow_redirects=False)
        assert answer.status_code < 500, path
        assert "x-a" not in answer.headers


def test_a_live_page_begins_again_when_the_ledger_was_rebuilt(central: CentralProcess, ledger: LedgerRows) -> None:
    for number in range(3):
        ledger.publish(directive(f"d-{number}"))
    with httpx2.stream("GET", f"{central.address}/en/live", timeout=20) as live:
        lines = live.iter_lines()
        assert next(lines) == "event: hello"
        told = ledger.publish(directive("told"))
        assert any(f'data-key="{told}"' in line for line in lines if "data-key" in line)
        ledger.empty()
        # The stream ends, and the browser connects again.
        assert [line for line in lines if "data-key" in line] == []
