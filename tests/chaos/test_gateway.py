"""The gateway in the long forms: a storm over kills, minutes of abuse, and everything its description allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_abuse import assert_abuse_is_borne, impatient_gateway
from gateway_clients import assert_a_client_publishes_and_hears
from gateway_described import assert_answers_as_described
from gateway_process import GatewayProcess
from gateway_storm import assert_a_storm_takes_effect_once
from ledger_facts import assert_sound
from portalbus.infra.stack import Endpoints
from whole_bus import Bus

pytestmark = pytest.mark.chaos

AGENCY = "H44"


@pytest.fixture(scope="module")
def bus(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path_factory.mktemp("gateway-bus"), (AGENCY,)).open()
    bus.start_worker()
    bus.start_relay()
    yield bus
    assert_sound(bus.look)
    bus.close()


def test_a_batch_posted_twenty_times_over_a_gateway_killed_three_times_takes_effect_once(
    bus: Bus, tmp_path: Path
) -> None:
    # curl comes back a second after it was cut off: one kill in the first storm, one before and one in the next.
    assert_a_storm_takes_effect_once(bus, tmp_path, AGENCY, posters=20, events=200, kills_after_s=(0.03, 0.9, 1.2))


def test_a_client_in_java_publishes_and_hears_the_verdict(bus: Bus, tmp_path: Path) -> None:
    gateway = GatewayProcess(bus.endpoints, tmp_path, "--canary-s", "0").start()
    try:
        assert_a_client_publishes_and_hears("Publish.java", gateway, AGENCY, tmp_path)
    finally:
        assert gateway.stop() == 0


def test_minutes_of_abuse_get_their_4xx_and_an_honest_portal_its_answers(endpoints: Endpoints, tmp_path: Path) -> None:
    with impatient_gateway(endpoints, tmp_path, AGENCY) as gateway:
        assert_abuse_is_borne(gateway, AGENCY, 120.0, 500)


def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(endpoints: Endpoints, tmp_path: Path) -> None:
    assert_answers_as_described(endpoints, tmp_path, AGENCY, examples=400, phases="examples,coverage,fuzzing")
