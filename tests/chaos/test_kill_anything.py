"""kill -9 of every part of the bus at random instants, under load: nothing lost, nothing twice, all in order.

And what the lanes hold, judged once more from the beginning, gives the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg
import pytest

from killing import (
    RETURN_SECONDS,
    Killer,
    Portals,
    agencies_of,
    judged_history,
    judging_meanwhile,
    plan,
    wait_for_rest,
)
from late_comers import of_ledger
from portalbus.infra.bus import supervisor
from portalbus.infra.bus.bus import Bus
from portalbus.schemas.directory import directory
from portalbus.streams.judgement.bounds import Bounds
from portalbus_command import Portalbus
from promises import promised
from seeds import fresh_seed

RATE = 300.0
"""Events a second, over all sources."""
LEAST_RATE, LEAST_BESIDE_OTHERS = 200.0, 100.0
"""In the short form other tests run on the same two cores, and portals that were killed take their time to start."""
PROCESSES = 4
AGENCIES = [agency.code for agency in directory().current(datetime.now(UTC).date())[:10]]
SOURCES = [f"{agency}/{portal}" for agency in AGENCIES for portal in ("www", "edu")]
SHORT = {"worker": 13, "relay": 7, "portals": 14, "postgres": 4, "kafka": 3, "freeze": 2}
FULL = {"worker": 70, "relay": 36, "portals": 100, "postgres": 16, "kafka": 12, "freeze": 10}
"""At least 40 and 200 kills; a freeze is none."""
DIFFERS = 1
"""Exit status of a rebuild that found other rows."""


@pytest.fixture(autouse=True)
def _soon_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed so often would be waited for longer and longer: the kills come more densely without."""
    monkeypatch.setenv("PORTALBUS_SESSION_TIMEOUT", "6")
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_S", 1.0)


def kill_anything(folder: Path, kills: Mapping[str, int], pause: tuple[float, float], least_rate: float) -> None:
    """Kills so many of each kind, with a pause between two of them, and judges what came of it."""
    seed = fresh_seed("kill anything")
    random = Random(seed)
    with Bus(folder / "bus", workers=2, usual_ports=None) as bus:
        portals = Portals(bus, folder, SOURCES, PROCESSES, RATE, seed, makes_up=10.0)
        killer = Killer(bus, portals, random)

        def context() -> str:
            return "\n".join([f"seed {seed}", *killer.trace])

        portals.start()
        try:
            with judging_meanwhile(bus, portals.history, agencies_of(SOURCES), context) as online:
                began = time.monotonic()
                killer.kill_all(plan(random, kills), pause, online.must_be_clean)
                killer.wait_for_services()
                under_fire = time.monotonic() - began
                portals.finish(within=RETURN_SECONDS)
                rest = wait_for_rest(bus, agencies_of(SOURCES), within=RETURN_SECONDS)
                online.finish(within=RETURN_SECONDS)
        finally:
            portals.end()
        report = judged_history(bus, portals.history, agencies_of(SOURCES))
        rate = report.seen["acknowledged"] / under_fire
        done = ", ".join(f"{count} {name}" for name, count in killer.kills.items())
        freezes = killer.kills["freeze"]
        print(f"{killer.kills.total() - freezes} kills and {freezes} freezes ({done})", end=" ")
        print(f"in {under_fire:.0f} s at {rate:.0f} events/s,")
        print(f"at rest {rest:.1f} s after the last event was delivered: {report.figures()};")
        print(online.figures())
        assert bus.failed() == []
        report.must_be_clean(context())
        online.must_have_seen(report)
        with psycopg.connect(bus.addresses.database_url) as ledger:
            late = of_ledger(ledger, Bounds().gap_hold)
        print(f"{late.figures()};")
        late.must_be_excused()
        rebuilt = Portalbus(folder / "bus")("rebuild")
        print(rebuilt.stdout.strip().splitlines()[-1])
        assert rebuilt.returncode in (0, DIFFERS), rebuilt.stdout + rebuilt.stderr
        with promised():
            assert rebuilt.returncode != DIFFERS, rebuilt.stdout
        assert rate >= least_rate


@pytest.mark.timeout(1_200)
def test_whatever_is_killed_what_was_acknowledged_takes_effect_once_and_in_order(tmp_path: Path) -> None:
    kill_anything(tmp_path, SHORT, (0.2, 1.6), LEAST_BESIDE_OTHERS)


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_the_same_with_200_kills(tmp_path: Path) -> None:
    kill_anything(tmp_path, FULL, (0.3, 3.5), LEAST_RATE)
