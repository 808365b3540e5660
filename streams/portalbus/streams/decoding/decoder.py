"""The worker's side of the decoder: batches of values in, what they say out, whatever becomes of the process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import structlog

from portalbus.schemas.codec import WriterSchemas
from portalbus.streams.decoding.contents import DEADLY, TOGETHER, unpack
from portalbus.streams.judgement.docket import Content, Unreadable

log = structlog.get_logger(__name__)

LONGEST_S = 30.0
"""A batch takes half a second at most; a decoder that thinks for longer about it does not come back."""
TRIES = 2
"""Alone, after the decoder died in its company: each costs the other lanes a start of the decoder."""


class DecoderDied(Exception):
    """The process ended, or did not answer in time."""


@dataclass(slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    questions: Connection
    answers: Connection
    told: int | None = None
    """How many writer schemas it was told; None before the first time."""


class Decoder:
    """Decodes in a process of its own, which is started anew when it dies. Not thread-safe: one thread calls it.

    What is added to `writers` it reads from the next batch on. When it dies, the values of the part it had in hand are
    given to it one by one; what it then dies of twice more is unreadable. A kill from outside costs some repetition,
    and no record.
    """

    def __init__(self, writers: WriterSchemas, longest_s: float = LONGEST_S) -> None:
        self._writers = writers
        self._longest_s = longest_s
        self._running: _Running | None = None

    def read(self, values: Sequence[bytes | None]) -> list[Content]:
        """What each value says; never raises because of what is in it."""
        contents: list[Content] = []
        try:
            self._ask(values, contents)
        except DecoderDied as died:
            log.warning("decoder.died", records=len(values) - len(contents), reason=str(died))
            suspects = values[len(contents) : len(contents) + TOGETHER]
            contents += [self._read_alone(value) for value in suspects]
            contents += self.read(values[len(contents) :])
        return contents

    def close(self) -> None:
        """Ends the process."""
        if self._running is not None:
            self._running.questions.close()
            self._running.answers.close()
            self._running.process.kill()
            self._running.process.wait()
            self._running = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_alone(self, value: bytes | None) -> Content:
        for _ in range(TRIES):
            found: list[Content] = []
            with suppress(DecoderDied):
                self._ask([value], found)
                return found[0]
        return Unreadable(DEADLY, f"the decoder died {TRIES} times of this record alone")

    def _ask(self, values: Sequence[bytes | None], contents: list[Content]) -> None:
        """Puts the contents of the values into the list, as they come. Raises DecoderDied."""
        try:
            running = self._running = self._running or self._start()
            self._tell_schemas(running)
            running.questions.send(values)
            while len(contents) < len(values):
                if not running.answers.poll(self._longest_s):
                    raise DecoderDied(f"no answer within {self._longest_s:g} s")
                contents += map(unpack, pickle.loads(running.answers.recv_bytes()))  # noqa: S301 - our own process
        except (EOFError, OSError, DecoderDied) as error:
            self.close()
            raise DecoderDied(str(error) or type(error).__name__) from error

    def _start(self) -> _Running:
        read_questions, write_questions = os.pipe()
        read_answers, write_answers = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "portalbus.streams.decoding", str(read_questions), str(write_answers)],
            pass_fds=(read_questions, write_answers),
            stdin=subprocess.DEVNULL,
        )
        os.close(read_questions)
        os.close(write_answers)
        return _Running(process, Connection(write_questions), Connection(read_answers))

    def _tell_schemas(self, running: _Running) -> None:
        """Before the first values, and whenever there are more of them."""
        known = len(self._writers)
        if running.told != known:
            running.questions.send(self._writers)
            running.told = known
