"""The gateway under abuse, for some seconds; `test_gateway.py` has minutes."""

from __future__ import annotations

from pathlib import Path

from gateway_abuse import assert_abuse_is_borne, impatient_gateway
from portalbus.infra.stack import Endpoints

AGENCY = "H61"


def test_abuse_gets_its_4xx_and_an_honest_portal_its_answer(endpoints: Endpoints, tmp_path: Path) -> None:
    with impatient_gateway(endpoints, tmp_path, AGENCY) as gateway:
        # So short a time on a machine that others use tells that nobody is kept waiting, not how long exactly.
        assert_abuse_is_borne(gateway, AGENCY, 5.0, 3_000)
