"""Running the app as a process: signals, stopping in time, exit status."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import structlog

from portalbus.streams.edge.app import LaneApp
from portalbus.streams.edge.broker import wait_for_broker
from portalbus.streams.edge.failstop import EXIT_FAIL_STOP, FailStop, fail_stop
from portalbus.streams.edge.watchdog import StallDetector, Watchdog

log = structlog.get_logger(__name__)

OpenApp = Callable[[threading.Event], AbstractAsyncContextManager[LaneApp]]
"""Its event is set when the worker ends: nothing that is away is waited for from then on."""


def run_worker(
    open_app: OpenApp,
    *,
    on_started: Callable[[LaneApp], Awaitable[None]] | None = None,
    patience: float = 60.0,
    stop_within: float = 25.0,
    fail_stop: FailStop = fail_stop,
) -> int:
    """Run one worker until SIGTERM or SIGINT and return its exit status.

    ``open_app`` is entered inside the event loop: it opens what the handler needs, yields the app, and closes it
    again. ``on_started`` is awaited when the worker has its lanes. A signal finishes the batch in hand, unless the
    database is away; whatever is not finished after ``stop_within`` seconds is left to the ledger and the process
    ends with status 70, as it does after a crash.
    """
    with asyncio.Runner() as runner:
        return runner.run(_run(open_app, on_started, patience, stop_within, fail_stop))


async def _run(
    open_app: OpenApp,
    on_started: Callable[[LaneApp], Awaitable[None]] | None,
    patience: float,
    stop_within: float,
    fail_stop: FailStop,
) -> int:
    stop = asyncio.Event()
    deadline = threading.Timer(stop_within, fail_stop, (f"the worker did not stop within {stop_within:g} s",))
    deadline.daemon = True

    def out_of_time() -> None:
        if not deadline.is_alive():
            deadline.start()

    def on_signal(number: signal.Signals) -> None:
        if not stop.is_set():
            log.info("worker.stopping", signal=number.name)
            out_of_time()
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        ending = threading.Event()
        async with open_app(ending) as app:
            watchdog = Watchdog(StallDetector(app.parts.progress, patience=patience), fail_stop=fail_stop)
            watchdog.start()
            try:
                return await _serve(app, stop, ending, on_started, out_of_time)
            finally:
                watchdog.stop()
    finally:
        deadline.cancel()


async def _serve(
    app: LaneApp,
    stop: asyncio.Event,
    ending: threading.Event,
    on_started: Callable[[LaneApp], Awaitable[None]] | None,
    out_of_time: Callable[[], None],
) -> int:
    app.in_worker = True
    starting = asyncio.ensure_future(_start(app))
    stopping = asyncio.ensure_future(stop.wait())
    crashed = asyncio.ensure_future(app._crashed.wait())
    await asyncio.wait((starting, stopping, crashed), return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and not starting.exception() and not stop.is_set():
        log.info("worker.started", lanes=len(app.parts.progress.next_offsets()))
        if on_started:
            await on_started(app)
        _calm_garbage_collector()
        await asyncio.wait((stopping, crashed), return_when=asyncio.FIRST_COMPLETED)
    reason = starting.exception() if starting.done() and not starting.cancelled() else app.crash_reason
    broken = reason is not None or app.crashed
    if broken:
        log.critical("worker.crashed", error=type(reason or app.crash_reason).__name__)
        out_of_time()  # nobody knows in what state it is: it gets as long to stop as after a signal
    for task in (starting, stopping, crashed):
        task.cancel()
    ending.set()
    await app.stop()
    log.info("worker.stopped")
    return EXIT_FAIL_STOP if broken else 0


async def _start(app: LaneApp) -> None:
    await wait_for_broker(app.parts.settings.bootstrap_servers)
    await app.start()
    await app.lane_consumer.positioned.wait()


def _calm_garbage_collector() -> None:
    # Every record makes objects, hardly any of them in cycles: with the usual thresholds a third of the time per record
    # goes into looking for garbage. What exists at start-up is left out of the search for good.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
