"""Portals without developers: a real `portalbus connect run` reads a feed, a view, a folder and a city's service."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.joined.arrivals import Arrivals
from portalbus.infra.demo.joined.drop_files import DropFiles
from portalbus.infra.demo.joined.local_site import OPEN311, RSS, LocalSite
from portalbus.infra.demo.joined.portal_view import READER, VIEW, PortalView
from portalbus.infra.demo.joined.stories import CITY
from portalbus.infra.demo.plan import PULLED, Door, Step
from portalbus.infra.demo.sent import SentLog
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.process import Command, spawn
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, FeedbackResolved, Payload, aggregate_key

PASSWORD_VARIABLE = "DEMO_PORTAL_READER"  # noqa: S105 - a name, no password
EVERY = "1s"
LOOK_S = 0.1
STOP_S = 15.0
PATIENCE_S = 60.0
WEB = {"internal": ["127.0.0.0/8"], "pause": 0, "per_host_hour": 1_000_000}


class PulledPortals:
    """Sources on this machine, and the connector that reads them. A context manager: running inside, ended after."""

    def __init__(
        self,
        steps: Sequence[Step],
        addresses: Addresses,
        home: Path,
        folder: Path,
        clockwork: Clockwork,
        log: SentLog,
    ) -> None:
        self._addresses = addresses
        self._home = home
        self._folder = folder
        self._clockwork = clockwork
        self._log = log
        self._open = ExitStack()
        self._steps = {door: [step for step in steps if step.door is door] for door in PULLED}
        self._arrivals: list[Arrivals] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._site = opening.enter_context(LocalSite())
            self._view = PortalView(self._addresses.database_url, StateFolder.at(self._home).secrets)
            self._files = DropFiles(self._folder / "tha-vao")
            self._arrivals = [
                Arrivals(self._home / "outbox", steps[0].agency, door.portal, steps, self._log)
                for door, steps in self._steps.items()
                if steps
            ]
            self._process = self._connect()
            opening.callback(self._end)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self) -> None:
        """Every portal begins its day."""
        for door, steps in self._steps.items():
            self._begin(f"demo-{door.portal}", lambda steps=steps: self._clockwork.play(steps, self._put))  # type: ignore[misc]
        self._begin("demo-arrivals", self._watch)

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _put(self, step: Step) -> None:
        """Puts what a step says where its portal keeps such things, once what it follows was read."""
        earlier = _earlier(self._steps[step.door], step)
        deadline = time.monotonic() + PATIENCE_S
        while earlier is not None and self._log.of(earlier.number) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the connector did not read step {earlier.number} within {PATIENCE_S:.0f} s")
            if self._clockwork.is_cancelled:
                return
            time.sleep(LOOK_S)
        self._publish(step.door, step.payload)

    def _publish(self, door: Door, payload: Payload) -> None:
        if isinstance(payload, FeedbackReceived):
            self._site.receive(payload)
        elif isinstance(payload, FeedbackResolved):
            self._site.close_request(payload)
        elif isinstance(payload, DirectivePublished):
            {Door.FEED: self._site.publish, Door.SQL: self._view.publish, Door.FILES: self._files.publish}[door](
                payload
            )

    def _watch(self) -> None:
        """Notes what the connector has published; says so when it ended instead."""
        try:
            while not self._ended.wait(LOOK_S):
                for arrivals in self._arrivals:
                    arrivals.look()
                if self._process.poll() is not None and not self._ended.is_set():
                    raise ChildProcessError(f"the connector ended with status {self._process.returncode}")
        except BaseException as error:
            if not self._ended.is_set():
                self._clockwork.fail(error)
        finally:
            for arrivals in self._arrivals:
                arrivals.close()

    def _connect(self) -> subprocess.Popen[bytes]:
        import yaml

        config = self._folder / "pull.yaml"
        config.write_text(yaml.safe_dump(self._settings(), allow_unicode=True), encoding="utf-8")
        command = [sys.executable, "-m", "portalbus.infra.cli", "connect", "run", str(config)]
        environment = {
            "PORTALBUS_HOME": str(self._home),
            "PORTALBUS_BOOTSTRAP": self._addresses.bootstrap,
            "PORTALBUS_REGISTRY": self._addresses.registry_url,
            "PORTALBUS_DATABASE": self._addresses.database_url,
            PASSWORD_VARIABLE: self._view.password,
        }
        # It ends with the demo, however that ends.
        return spawn(Command(tuple(command), str(config), environment), self._home / "logs" / "demo-connect.log")

    def _settings(self) -> Mapping[str, Any]:
        """The connector's configuration, as somebody would write it."""
        kinds: dict[Door, dict[str, Any]] = {
            Door.FEED: {
                "kind": "feed",
                "address": self._site.url + RSS,
                "mapping": {"directive_id": "id"},
            },
            Door.SQL: {
                "kind": "sql",
                "address": self._view.address,
                "view": VIEW,
                "user": READER,
                "password": f"env:{PASSWORD_VARIABLE}",
                "mapping": {"directive_id": "ma"},
            },
            Door.FILES: {
                "kind": "files",
                "address": str(self._files.folder),
                "settle": 0,
                "mapping": {"directive_id": "ma"},
            },
            Door.OPEN311: {
                "kind": "open311",
                "address": self._site.url + OPEN311,
                "overlap": "30d",
                "regime": CITY["regime"],
                "category": CITY["category"],
                "mapping": {"case_id": "service_request_id", "public_code": "public_code"},
            },
        }
        portals = [
            {"agency": steps[0].agency, "portal": door.portal, "every": EVERY, **kinds[door]}
            for door, steps in self._steps.items()
            if steps
        ]
        return {"outbox": str(self._home / "outbox"), "memory": "memory", "web": WEB, "portals": portals}

    def _end(self) -> None:
        self._ended.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(STOP_S)


def _earlier(steps: Sequence[Step], step: Step) -> Step | None:
    """The step before this one that is about the same document or case."""
    key = aggregate_key(step.agency, step.payload)
    found = [one for one in steps if one.number < step.number and aggregate_key(one.agency, one.payload) == key]
    return found[-1] if found else None
