"""The decoder's process: `python -m portalbus.streams.decoding FROM TO`, two pipes that the worker has opened.

First come the writer schemas, then lists of values, and the schemas again when there are more; what the values say
comes back in parts of `TOGETHER`. It ends with the pipes.
"""

from __future__ import annotations

import gc
import pickle
import resource
import signal
import sys
from multiprocessing.connection import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.streams.decoding.contents import TOGETHER, content_of, pack

MOST_MEMORY = 256 << 20
"""Bytes: a value that wants more is unreadable. A batch has 4 MiB, and a fifth of this is enough for it."""


def main() -> None:
    """Answers until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    for told in (signal.SIGINT, signal.SIGTERM):  # the worker hears it too, and lets the batch in hand finish
        signal.signal(told, signal.SIG_IGN)
    questions, answers = (Connection(int(number)) for number in sys.argv[1:3])
    try:
        writers: WriterSchemas = questions.recv()
        gc.set_threshold(100_000)  # what is read and written has no cycles; the odd error may
        while True:
            values = questions.recv()
            if isinstance(values, WriterSchemas):
                writers = values
                continue
            for start in range(0, len(values), TOGETHER):
                found = [pack(content_of(value, writers)) for value in values[start : start + TOGETHER]]
                answers.send_bytes(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
