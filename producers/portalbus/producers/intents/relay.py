"""The relay of one portal's intents: a process of its own, or a thread of the portal's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from portalbus.producers import forks, logs
from portalbus.producers.intents.intent_table import IntentTable
from portalbus.producers.intents.mover import ROWS, Mover
from portalbus.producers.outbox import Outbox
from portalbus.producers.portal import Portal
from portalbus.schemas.errors import PortalbusError
from portalbus.schemas.models import Verdict

DAY = 86_400_000
PRUNE_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
STOP_SECONDS = 5.0


class IntentRelay:
    """Moves committed intents into the SDK's outbox, delivers them, and writes what the centre decided beside them.

    Several may run on the machine that has the outbox: they take turns, one of them delivers, and the others take over
    when it dies. Intents that are done are deleted after `keep_days`; `poll` is the time between two looks at the
    table in seconds. `on_verdict` is called for each verdict, again after a crash. `options` are those of `Portal`.
    """

    def __init__(
        self,
        table: IntentTable,
        *,
        outbox: Path | str,
        verdicts: bool = True,
        on_verdict: Callable[[Verdict], None] | None = None,
        keep_days: float = 7.0,
        poll: float = 0.2,
        **options: Any,
    ) -> None:
        """Raises ValueError for settings that cannot work. Nothing is opened or connected."""
        self._table = table
        self._on_verdict = on_verdict
        self.portal = Portal(
            table.agency,
            table.portal,
            outbox=outbox,
            on_verdict=self._keep_verdict if verdicts or on_verdict else None,
            **options,
        )
        settings = self.portal.settings
        self._outbox = Outbox(settings.outbox, settings.agency, settings.portal, settings.bounds)
        self._mover = Mover(table, self._outbox)
        self._keep = int(keep_days * DAY)
        self._poll = poll
        self._prune_at = 0.0
        self._trouble = ""
        self._speaking = False
        self._busy = threading.RLock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        forks.watch(self)

    def check(self) -> None:
        """Raises OutboxUnavailable when the intents go to an outbox elsewhere, OutboxDamaged when this one is unfit."""
        with self._busy:
            self._mover.check()

    def run(self) -> None:
        """Relays until `stop()`; whatever goes wrong is said once, and tried again."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                moved = self.step()
                self._say_recovered()
                pause = FIRST_PAUSE
                if moved < ROWS:
                    self._wake.wait(self._poll)
                self._wake.clear()
            except Exception as error:  # the database's driver, a full disk: nobody is there to catch it
                self._say_trouble(error)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def step(self) -> int:
        """One look: moves what waits, notes what was delivered, deletes what is old; returns how many it dealt with.

        For whoever wants to relay at moments of their own; raises what the database and the outbox raise.
        """
        if not self._speaking:
            with self._busy:
                self._mover.check()  # an outbox that the intents do not go to must not say anything
            self._speak()
        with self._busy, self._mover.alone() as alone:
            if not alone:
                return 0
            moved = self._mover.move()
            while self._mover.settle() and not self._stopping.is_set():
                pass
            self._prune()
        if moved:
            self._speak()
        return moved

    def start(self) -> Self:
        """Relays in a thread of this process, which may be started again after a fork."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            name = f"portalbus-intents-{self._table.source}"
            self._thread = threading.Thread(target=self.run, name=name, daemon=True)
            self._thread.start()
        return self

    def wake(self) -> None:
        """Says that something was committed; the relay looks by itself, too."""
        self._wake.set()

    def stop(self) -> None:
        """Has `run()` end; safe in a signal handler."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """Stops, delivers for a moment, and closes; what is left goes on at the next start."""
        self.stop()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            self._thread = None
        self.portal.close()
        self._outbox.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def before_fork(self) -> None:
        """The process is about to fork: no file may cross it open."""
        self._busy.acquire()
        self._outbox.acquire()

    def after_fork(self, *, child: bool) -> None:
        """The process forked; the thread stays behind with the parent."""
        self._outbox.release(forked=child)
        if child:
            self._thread = None
            self._speaking = False
        self._busy.release()

    def _speak(self) -> None:
        """Begins delivery or wakes it; never under our lock, since a fork takes the portal's own lock, too."""
        self._speaking = True
        if self.portal.settings.deliver:
            self.portal.start()

    def _keep_verdict(self, verdict: Verdict) -> None:
        self._table.keep_verdict(verdict)
        if self._on_verdict is not None:
            self._on_verdict(verdict)

    def _prune(self) -> None:
        if time.monotonic() >= self._prune_at:
            gone = self._mover.prune(time.time_ns() // 1_000_000 - self._keep)
            self._prune_at = time.monotonic() + (0 if gone else PRUNE_SECONDS)

    def _say_trouble(self, error: Exception) -> None:
        # A driver's message may hold values; those of the bus hold none.
        text = str(error) if isinstance(error, PortalbusError) else type(error).__name__
        if text != self._trouble:
            self._trouble = text
            logs.warning(logs.RELAY_TROUBLE, source=self._table.source, trouble=text)

    def _say_recovered(self) -> None:
        if self._trouble:
            self._trouble = ""
            logs.info(logs.RELAY_RECOVERED, source=self._table.source)
