"""The Faust edge: assigns lanes, delivers batches, runs timers. Nothing outside this package imports faust."""

from portalbus.streams.edge.app import LaneApp, Timer, build_app, every
from portalbus.streams.edge.failstop import FailStop, fail_stop
from portalbus.streams.edge.logs import route_library_logs
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.edge.settings import EdgeSettings
from portalbus.streams.edge.watchdog import StallDetector, Watchdog
from portalbus.streams.edge.worker import run_worker

__all__ = [
    "EdgeSettings",
    "FailStop",
    "LaneApp",
    "LaneProgress",
    "StallDetector",
    "Timer",
    "Watchdog",
    "build_app",
    "every",
    "fail_stop",
    "route_library_logs",
    "run_worker",
]
