"""The transport driver that joins Faust, the lane consumer and the lane queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from faust.transport.drivers import aiokafka as driver

from portalbus.streams.edge.consumer import LaneConsumer, Lanes, Positions
from portalbus.streams.edge.delivery import Delivery
from portalbus.streams.edge.failstop import FailStop
from portalbus.streams.edge.lane_queue import LaneQueue
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.settings import EdgeSettings


@dataclass(frozen=True, slots=True)
class EdgeParts:
    """What the consumer works with; built once, in ``build_app``."""

    settings: EdgeSettings
    lanes: Lanes
    positions: Positions
    queue: LaneQueue
    delivery: Delivery
    progress: LaneProgress
    fail_stop: FailStop
    clock: Callable[[], datetime]


class LaneTransport(driver.Transport):
    """Faust's aiokafka transport with the lane consumer. Set on the app directly, so it needs no entry point."""

    Consumer = LaneConsumer

    def __init__(self, url: Any, app: Any, parts: EdgeParts) -> None:
        super().__init__(url, app)
        self.parts = parts
