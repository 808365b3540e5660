"""The portal under test, driven over HTTP: one address, one step of a scenario in each request."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

STEP_SECONDS = 20.0
START_SECONDS = 15.0
MOST_ANSWER_BYTES = 1_000_000
NOT_OFFERED = 501
MOST_SHOWN = 200


class DriverFailed(Exception):
    """The driver did not answer as it should; the message says to which step, and what it did instead."""


class NotOffered(Exception):
    """The driver answered 501: this portal has no such thing."""


class DrivenPortal:
    """Sends steps to the driver at `target`. `command` starts it; only then can it be killed and started again.

    What the portal prints is kept, and its last words are told when it ends before it listens.
    """

    def __init__(self, target: str, command: str | None = None) -> None:
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DriverFailed(f"{target} is no address of a driver: an example is http://127.0.0.1:9000/")
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port or self._connection.default_port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._output = TemporaryFile()  # noqa: SIM115 - open as long as this is

    @property
    def can_be_killed(self) -> bool:
        """True when this kit started it."""
        return self._command is not None

    def start(self) -> None:
        """Starts the portal, when there is a command for that, and waits until its driver listens."""
        if self._command is None:
            return
        self._process = subprocess.Popen(
            shlex.split(self._command),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None:
                raise DriverFailed(
                    f"`{self._command}` ended with status {self._process.returncode}: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise DriverFailed(f"`{self._command}` listens on no port {self._port} within {START_SECONDS:g} s")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends the portal without warning: SIGKILL, to all that was started with it."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends the portal, when this kit started it."""
        self.kill()
        self._output.close()

    def say(self, step: str, **about: Any) -> dict[str, Any]:
        """Sends one step and returns the answer. Raises DriverFailed, and NotOffered for status 501."""
        connection = self._connection(self._host, self._port, timeout=STEP_SECONDS)
        body = json.dumps({"do": step, **about}, ensure_ascii=False).encode()
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return _document(step, answer, answer.read(MOST_ANSWER_BYTES))
        except TimeoutError:
            raise DriverFailed(f"no answer to the step `{step}` within {STEP_SECONDS:g} s") from None
        except (OSError, HTTPException) as error:
            raise DriverFailed(f"the step `{step}` failed: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _last_words(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:MOST_SHOWN] if lines else "it said nothing"

    def _listens(self) -> bool:
        connection = self._connection(self._host, self._port, timeout=1)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True


def _document(step: str, answer: HTTPResponse, body: bytes) -> dict[str, Any]:
    if answer.status == NOT_OFFERED:
        raise NotOffered(step)
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        found = None
    if answer.status != 200 or not isinstance(found, dict):
        shown = body[:MOST_SHOWN].decode("utf-8", "replace")
        raise DriverFailed(f"the step `{step}` was answered with status {answer.status}, and no JSON object: {shown}")
    return found
