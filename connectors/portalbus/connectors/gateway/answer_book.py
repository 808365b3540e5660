"""What was answered to an Idempotency-Key, kept so that a retry gets the very same answer, also after a crash."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

PRUNE_ROWS = 1_000
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body, as they go out."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer and the digest of the request that got it."""

    digest: bytes
    answer: Answer


class AnswerBook:
    """The remembered answers. One thread of its own reads and writes them; one request a key goes on at a time."""

    def __init__(self, connection: sqlite3.Connection, days: int) -> None:
        self._connection = connection
        self._days = days
        self._thread = ThreadPoolExecutor(1, "gateway-answers")
        self._turns: dict[tuple[str, str], _Turn] = {}

    @asynccontextmanager
    async def turn(self, agency: str, key: str) -> AsyncIterator[None]:
        """Waits until no other request with this key is under way."""
        place = (agency, key)
        turn = self._turns.setdefault(place, _Turn(asyncio.Lock()))
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[place]

    async def find(self, agency: str, key: str) -> Remembered | None:
        """What was answered, None when nothing was."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, agency, key)

    async def keep(self, agency: str, key: str, remembered: Remembered) -> None:
        """Remembers an answer; it outlives the process when this returns."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._keep, agency, key, remembered)

    async def prune(self) -> None:
        """Forgets what is too old."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._prune)

    def close(self) -> None:
        """Waits for what is being written."""
        self._thread.shutdown()

    def _find(self, agency: str, key: str) -> Remembered | None:
        row = self._connection.execute(
            "select digest, status, body from answer where agency = ? and idempotency_key = ?", (agency, key)
        ).fetchone()
        return Remembered(row[0], Answer(row[1], zlib.decompress(row[2]))) if row else None

    def _keep(self, agency: str, key: str, remembered: Remembered) -> None:
        answer = remembered.answer
        self._connection.execute(
            "insert or ignore into answer values (?, ?, ?, ?, ?, ?)",
            (agency, key, remembered.digest, answer.status, zlib.compress(answer.body, 1), int(time.time())),
        )

    def _prune(self) -> None:
        oldest = int(time.time()) - self._days * DAY_S
        gone = PRUNE_ROWS
        while gone == PRUNE_ROWS:
            gone = self._connection.execute(
                "delete from answer where rowid in (select rowid from answer where answered_at < ? limit ?)",
                (oldest, PRUNE_ROWS),
            ).rowcount


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock
    users: int = 0


def request_digest(*parts: bytes) -> bytes:
    """SHA-256 over what makes two requests the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
