"""Processes that are told to stop while nothing they need answers: they end, and soon."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from bus_events import envelope, receipt, value_of
from portalbus.infra.stack import Stack
from portalbus.schemas.models import Event
from whole_bus import Bus


def test_without_broker_and_database_every_process_still_stops(tmp_path: Path) -> None:
    """A supervisor kills what takes too long, after 30 s as a rule, and would take a status for a fault."""
    with Stack(tmp_path / "stack", usual_ports=None) as stack:
        bus = Bus(stack.endpoints, tmp_path, ("G22", "H26")).open()
        worker, relay = bus.start_worker(), bus.start_relay()
        casework, warning = bus.start_casework(), bus.start_warning()
        bus.wait_until(lambda: bus.lanes_of(worker) == 2 and relay.said("relay.started"), "worker and relay")
        bus.wait_until(lambda: casework.said("casework.started") and warning.said("warning.started"), "the others")
        events = [Event(envelope(n, "H26", n), receipt(f"H26-{n:04}", n)) for n in range(1, 201)]
        bus.publish("H26", [(event.key.encode(), value_of(event, bus.schema_ids)) for event in events])
        bus.wait_until(lambda: bus.next_offset("H26") == 200, "two hundred events")
        stack.kafka.kill()
        stack.postgres.kill()
        bus.wait_until(lambda: len(worker.said("database.away")) > 2, "the worker to miss the database")
        running = {"worker": worker, "relay": relay, "casework": casework, "warning": warning}
        began = time.monotonic()
        for process in running.values():
            process.process.send_signal(signal.SIGTERM)
        statuses = {name: process.process.wait(40) for name, process in running.items()}
        took = time.monotonic() - began
        print(f"\nall of them ended in {took:.1f} s: {statuses}")
        assert took < 20
        assert statuses["worker"] == statuses["relay"] == 0
        assert not worker.said("worker.fail-stop")
