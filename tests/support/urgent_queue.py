"""An urgent case behind a queue of ordinary ones, and how long it takes onto the list of who has to acknowledge it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from bus_events import Lane, receipt, value_of
from portalbus.schemas.codec import Decoded
from portalbus.schemas.models import CaseUrgency
from portalbus.schemas.topics import lane_of
from portalbus.streams.reading.casework import urgent_cases
from whole_bus import Bus, Running

AGENCIES = ("H56", "G11")


class UrgentQueue:
    """A bus on which H56 has more to say than can be judged at once."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.lanes = {agency: Lane(agency) for agency in AGENCIES}
        self._number = 0

    def start_casework(self) -> Running:
        """Starts the process and waits until it works."""
        running = self.bus.start_casework()
        self.bus.wait_until(lambda: running.said("scout.lanes"), "the scout")
        return running

    def queue(self, agency: str, count: int) -> None:
        """So many ordinary receipts on a lane."""
        self.bus.publish(agency, [self._receipt(agency, CaseUrgency.NORMAL) for _ in range(count)])

    def queue_copies(self, agency: str, count: int) -> None:
        """One ordinary receipt on a lane so many times: to a reader of the lane as good as different ones."""
        key, value = self._receipt(agency, CaseUrgency.NORMAL)
        producer, lane = self.bus.producer, lane_of(agency)
        for _ in range(count):
            while True:
                try:
                    producer.produce(lane, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
        assert producer.flush(120) == 0

    def urgent(self, agency: str, **values: object) -> str:
        """An urgent receipt; returns its case id."""
        key, value = self._receipt(agency, CaseUrgency.URGENT, **values)
        self.bus.publish(agency, [(key, value)])
        return key.decode()

    def seconds_to_list(self, case_id: str, within: float = 30) -> float:
        """How long it takes from now until a case is on the list."""
        began = time.perf_counter()
        self.bus.wait_until(lambda: self.listed(case_id), f"{case_id} on the list", within)
        return time.perf_counter() - began

    def listed(self, case_id: str) -> bool:
        """True when the case waits for somebody to acknowledge it."""
        return any(one.case_id == case_id for one in urgent_cases(self.bus.look))

    def _receipt(self, agency: str, urgency: CaseUrgency, **values: object) -> tuple[bytes, bytes]:
        self._number += 1
        now = datetime.now(UTC)
        said = {"received_at": now, "urgency": urgency, "regime": "R6", **values}
        payload = receipt(f"{agency}-{self._number:07}", int(said.pop("code", self._number)), **said)  # type: ignore[call-overload]
        item = self.lanes[agency].say(payload, occurred_at=now, published_at=now)
        assert isinstance(item.content, Decoded)
        event = item.content.event
        return event.key.encode(), value_of(event, self.bus.schema_ids)
