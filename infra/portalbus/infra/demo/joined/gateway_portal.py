"""A portal that speaks HTTP alone: the sample client of whichever runtime is there, else of Python's own library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Self

from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.keys import add_key, revoke_key
from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.bus.processes import GATEWAY_FOLDER
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.plan import Step
from portalbus.infra.demo.sent import Sent, SentLog
from portalbus.producers import new_event_id

PROGRAM = Path(__file__).with_name("http_client.py")
EXAMPLES = Path(str(files("portalbus.connectors.gateway"))) / "clients"
CLIENTS = (("php", "publish.php"), ("node", "publish.mjs"))
TIMEOUT_S = 90.0


class GatewayPortal:
    """Publishes its steps one after the other over the bus's gateway, with a key of its own while the context lasts."""

    def __init__(
        self,
        steps: Sequence[Step],
        addresses: Addresses,
        home: Path,
        folder: Path,
        clockwork: Clockwork,
        log: SentLog,
    ) -> None:
        self._steps = steps
        self._url = addresses.gateway_url
        self._keys = home / GATEWAY_FOLDER / "keys.sqlite"
        self._file = folder / "event.json"
        self._clockwork = clockwork
        self._log = log
        self._thread = threading.Thread(target=self._work, name="demo-gateway", daemon=True)

    def __enter__(self) -> Self:
        connection = open_database(self._keys, KEYS)
        try:
            self._key = add_key(connection, self._steps[0].agency, self._steps[0].portal, note="demo")
        finally:
            connection.close()
        return self

    def __exit__(self, *_: object) -> None:
        connection = open_database(self._keys, KEYS)
        try:
            revoke_key(connection, self._key.split("_")[1])
        finally:
            connection.close()

    def start(self) -> None:
        """The portal begins its day."""
        self._thread.start()

    def _work(self) -> None:
        self._clockwork.play(self._steps, self._publish)

    def _publish(self, step: Step) -> None:
        self._file.write_text(step.payload.model_dump_json(), encoding="utf-8")
        event_id = new_event_id()
        called = time.time_ns()
        done = subprocess.run(
            [*client(), step.payload.event_type, str(self._file), event_id],
            env={
                **os.environ,
                "GATEWAY_URL": self._url,
                "GATEWAY_KEY": self._key,
                "GATEWAY_SOURCE": f"/{step.agency}/{step.portal}",
                "GATEWAY_LANGUAGE": "vi",
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if not done.stdout.startswith("202"):
            raise ChildProcessError(f"the gateway's client said: {json.dumps((done.stdout + done.stderr)[:500])}")
        self._log.note(Sent(step, called, time.time_ns(), event_id=event_id))


def client() -> tuple[str, ...]:
    """The command of the sample client that can be run here."""
    for runtime, name in CLIENTS:
        program = shutil.which(runtime)
        if program and (EXAMPLES / name).exists():
            return (program, str(EXAMPLES / name))
    return (sys.executable, "-I", str(PROGRAM))
