"""JVMs that begin where an earlier one had come to: what it loaded is laid out ahead of time (JEP 483, JEP 514).

The first JVM of an app writes down, when it ends in an orderly way, what it has loaded. The next start makes a cache
of that in some seconds, and every start after it takes about half the processor time. Whatever goes wrong here costs
time only: a JVM whose cache is missing, or is not for it, starts as it would without.
"""

from __future__ import annotations

import fcntl
import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from portalbus.infra.stack.java import COMMON, java_program
from portalbus.infra.stack.process import clean_environment

SILENT = "-Xlog:aot*=off"
"""Of the hundreds of classes that cannot be cached nobody needs to read in a service's log."""
MAKING_SECONDS = 120
UNUSED_DAYS = 30


class QuickStart:
    """The cache of one app in a folder that all stacks of this machine share."""

    def __init__(self, folder: Path, app: str) -> None:
        self._folder = folder
        self._app = app

    def options(self, program: Sequence[str], files: Sequence[Path], *, learn: bool = True) -> tuple[str, ...]:
        """What to tell the JVM that starts `program` (its class path, without the main class), made of `files`.

        Makes the cache first where there is none and an earlier JVM has written down what it takes. Where there is
        neither, this one will write it down, if it is to `learn`.
        """
        try:
            cache = self._folder / f"{self._app}-{_key(program, files)}.aot"
            if cache.exists() or self._make(cache, program):
                self._use(cache)
                return (f"-XX:AOTCache={cache}", SILENT)
            if learn:
                record = cache.with_suffix(f".{uuid.uuid4().hex}.record")
                return ("-XX:AOTMode=record", f"-XX:AOTConfiguration={record}", SILENT)
        except OSError:
            pass  # a folder that cannot be made, or a full disk
        return ()

    def _use(self, cache: Path) -> None:
        """Says that it is in use, and throws away what others wrote down meanwhile; the folder may be read-only."""
        with suppress(OSError):
            cache.touch()
            for record in self._records(cache):
                record.unlink(missing_ok=True)

    def _make(self, cache: Path, program: Sequence[str]) -> bool:
        """Makes the cache of the first record that is good for it; another process that is at it is not waited for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not any(self._records(cache)):
            return False
        with (self._folder / f"{self._app}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            fresh = cache.with_suffix(".new")
            for record in self._records(cache):
                made = not cache.exists() and _created(record, fresh, program)
                record.unlink(missing_ok=True)
                if made:
                    fresh.replace(cache)
            self._prune()
        return cache.exists()

    def _records(self, cache: Path) -> list[Path]:
        return sorted(self._folder.glob(f"{cache.stem}.*.record"))

    def _prune(self) -> None:
        """Forgets what was there for a Java or an app that nobody has started for long."""
        long_ago = time.time() - UNUSED_DAYS * 86_400
        for file in self._folder.glob(f"{self._app}-*"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < long_ago:
                    file.unlink()


def _key(program: Sequence[str], files: Sequence[Path]) -> str:
    """Names what a cache is good for: a JVM takes one only for the same Java, options and files, unchanged."""
    java = Path(java_program())
    seen = [java, *java.parent.parent.glob("lib/modules"), *files]
    stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in seen for stat in (file.stat(),)]
    return sha256(repr((COMMON, tuple(program), stats)).encode()).hexdigest()[:16]


def _created(record: Path, cache: Path, program: Sequence[str]) -> bool:
    argv = (
        *(java_program(), *COMMON, SILENT, "-XX:AOTMode=create"),
        *(f"-XX:AOTConfiguration={record}", f"-XX:AOTCache={cache}", *program),
    )
    try:
        ended = subprocess.run(argv, env=clean_environment({}), capture_output=True, timeout=MAKING_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0 and cache.exists()
