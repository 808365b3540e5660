"""The receiving end for portals that use the SDK: the bus of the test kit, behind a line that can be disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portalbus.connectors.conformance.door import Request
from portalbus.connectors.conformance.kafka_line import KafkaLine
from portalbus.connectors.conformance.lane_view import Arrived, LaneView
from portalbus.connectors.conformance.scenario import Disturb, Disturbance
from portalbus.producers.testing import InProcessBus


class KafkaDoor:
    """Kafka and the registry, as a portal with the SDK sees them. It cannot `answer` with an HTTP status."""

    name = "kafka"
    disturbances: frozenset[Disturbance] = frozenset({"outage", "hang", "lose-answers"})

    def __init__(self, agency: str) -> None:
        self._bus = InProcessBus()
        self._bus.open_lane(agency)
        self._lane = LaneView(self._bus.bootstrap, self._bus.registry_url, agency)
        host, _, port = self._bus.bootstrap.partition(":")
        self._line = KafkaLine((host, int(port)))

    def settings(self, agency: str, portal: str) -> dict[str, Any]:
        """Where the broker and the registry are."""
        return {
            "agency": agency,
            "portal": portal,
            "bootstrap": self._line.bootstrap,
            "registry": self._bus.registry_url,
        }

    def disturb(self, disturbance: Disturb) -> None:
        """Disturbs the line to the broker; the registry stays."""
        self._line.disturb(disturbance)

    def heal(self) -> None:
        """Lets everything through again."""
        self._line.heal()

    def taken(self) -> list[Arrived]:
        """What stands on the agency's lane."""
        return self._lane.look()

    def requests(self) -> Sequence[Request]:
        """Nothing: what a client asks a broker is the client's own business."""
        return ()

    def close(self) -> None:
        """Ends line, broker and registry."""
        self._line.close()
        self._lane.close()
        self._bus.close()
