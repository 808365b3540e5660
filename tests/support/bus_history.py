"""What the checker that all tests share says of a test's own bus: its lanes, its ledger, and what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable

from history_checker import check
from history_recorder import lane_lines, ledger_lines
from history_report import Line, Report
from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.models import Event
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from whole_bus import Bus

STAGES = ("laid", "judged", "effect")
"""For buses with a relay there is more to see: `killing.judged_history`."""


def acknowledged(event: Event) -> Line:
    """The broker has this event, and its sender knows it."""
    head = event.envelope
    named = {"id": head.id, "source": f"{head.agency}/{head.portal}", "epoch": head.epoch, "sequence": head.sequence}
    return {"saw": "acknowledged", **named}


def checked(bus: Bus, promised: Iterable[Line] = (), writers: WriterSchemas | None = None) -> Report:
    """The history of a bus at rest; `writers` read what its registry does not know."""
    known = writers or SchemaIds(SchemaRegistry(bus.endpoints.registry_url)).lane_writers()
    lanes = lane_lines(bus.endpoints.bootstrap, bus.agencies, known)
    return check([*promised, *lanes, *ledger_lines(bus.look)], stages=STAGES)
