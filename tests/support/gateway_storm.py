"""The same batch posted by many at once, by curl, over a gateway that is killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from gateway_process import BATCH, GatewayProcess, cloud_event, feedback
from ledger_facts import rows
from whole_bus import Bus


def judged(bus: Bus, agency: str, portal: str) -> list[tuple[str, str, str]]:
    """Event id, status and rule of every event of a portal, in the order of the lane."""
    query = "select event_id::text, status, rule from ledger.event where agency = %s and portal = %s"
    return [(row[0], row[1], row[2]) for row in rows(bus.look, f"{query} order by lane_offset", agency, portal)]


def assert_a_storm_takes_effect_once(
    bus: Bus, folder: Path, agency: str, *, posters: int, events: int, kills_after_s: Sequence[float]
) -> None:
    """Posts a batch from so many programs at once; the gateway is killed after each of these pauses, in seconds."""
    gateway = GatewayProcess(bus.endpoints, folder, "--canary-s", "0")
    key = gateway.key(agency, "killed")
    batch = folder / "batch.json"
    said = [cloud_event(feedback(number, agency=agency), f"/{agency}/killed") for number in range(events)]
    batch.write_text(json.dumps(said))
    gateway.start()
    running = [_curl(gateway, key, batch, folder / f"answer{number}", number % 2 == 0) for number in range(posters)]
    for seconds in kills_after_s:
        kill_at = time.monotonic() + seconds
        while time.monotonic() < kill_at:
            time.sleep(0.005)
        gateway.kill()
        gateway.start(ready=False)
    for number, poster in enumerate(running):
        status, errors = poster.communicate(timeout=120)
        assert poster.returncode == 0, errors
        assert status == "202", (folder / f"answer{number}").read_text()[:500]
    answers = {(folder / f"answer{number}").read_bytes() for number in range(posters)}
    assert len(answers) == 1, "the answers differ"
    told = json.loads(answers.pop())
    assert [result["sequence"] for result in told["results"]] == list(range(1, events + 1))

    ids = [result["id"] for result in told["results"]]
    assert ids == [event["id"] for event in said]
    bus.wait_until(lambda: len({found[0] for found in judged(bus, agency, "killed")}) == events, "every event")
    assert gateway.stop() == 0, gateway.log.read_text()[-3_000:]
    found = judged(bus, agency, "killed")
    assert [event_id for event_id, status, _ in found if status == "ACCEPTED"] == ids, "each once, in order"
    assert {status for _, status, _ in found} <= {"ACCEPTED", "DUPLICATE"}


def _curl(gateway: GatewayProcess, key: str, batch: Path, answer: Path, keyed: bool) -> subprocess.Popen[str]:
    command = ["curl", "-sS", "-o", str(answer), "-w", "%{http_code}", "--retry", "60", "--retry-all-errors"]
    command += ["--retry-delay", "1", "-H", f"Authorization: Bearer {key}", "-H", f"Content-Type: {BATCH}"]
    if keyed:
        command += ["-H", "Idempotency-Key: the-same-for-all"]
    command += ["--data-binary", f"@{batch}", f"{gateway.address}/v1/events"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
