"""An urgent case behind a queue of ordinary ones, and how long it takes onto the list of who has to acknowledge it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from confluent_kafka import Producer

from bus_events import Lane, public_code, receipt, value_of
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import CaseUrgency, Event
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
        self._numbering = threading.Lock()
        self._template = receipt(f"{AGENCIES[0]}-0000", regime="R6")
        self._urgent_producer = Producer(
            librdkafka_settings(bus.endpoints.bootstrap) | {"enable.idempotence": True, "linger.ms": 0}
        )

    def start_casework(self) -> Running:
        """Starts the process and waits until it works."""
        running = self.bus.start_casework()
        self.bus.wait_until(lambda: running.said("scout.lanes"), "the scout")
        return running

    def queue(self, agency: str, count: int) -> None:
        """So many ordinary receipts on a lane, each a case of its own, from the portal `www`."""
        producer, lane = self.bus.producer, lane_of(agency)
        for _ in range(count):
            key, value = self._receipt(agency, "www", CaseUrgency.NORMAL)
            while True:
                try:
                    producer.produce(lane, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
        assert producer.flush(120) == 0

    def urgent(self, agency: str, **values: object) -> str:
        """An urgent receipt from the portal `khan`, as soon as the broker has it; returns its case id.

        From a producer of its own, that no queue of ordinary ones stands before.
        """
        key, value = self._receipt(agency, "khan", CaseUrgency.URGENT, **values)
        self._urgent_producer.produce(lane_of(agency), value, key)
        assert self._urgent_producer.flush(30) == 0
        return key.decode()

    def seconds_to_list(self, case_id: str, within: float = 30) -> float:
        """How long it takes from now until a case is on the list."""
        began = time.perf_counter()
        self.bus.wait_until(lambda: self.listed(case_id), f"{case_id} on the list", within)
        return time.perf_counter() - began

    def seconds_of_an_urgent_one(self, agency: str, within: float = 30) -> float:
        """How long an urgent receipt takes from its portal onto the list."""
        began = time.perf_counter()
        self.seconds_to_list(self.urgent(agency), within)
        return time.perf_counter() - began

    def listed(self, case_id: str) -> bool:
        """True when the case waits for somebody to acknowledge it."""
        return any(one.case_id == case_id for one in urgent_cases(self.bus.look))

    def _receipt(self, agency: str, portal: str, urgency: CaseUrgency, **values: object) -> tuple[bytes, bytes]:
        now = datetime.now(UTC)
        with self._numbering:
            self._number += 1
            number = self._number
            head = self.lanes[agency].next_envelope(portal=portal, occurred_at=now, published_at=now)
        said = {"case_id": f"{agency}-{number:07}", "received_at": now, "urgency": urgency, **values}
        said["public_code"] = public_code(int(str(said.pop("code", number))))
        payload = self._template.model_copy(update={**said, "addressed_to": agency})
        return payload.case_id.encode(), value_of(Event(head, payload), self.bus.schema_ids)
