"""Exit statuses, and how errors become one sentence and a status."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from portalbus.infra.cli import EXIT_MISSING, missing_sentence

OK = 0
NO = 1
USAGE = 2
UNREACHABLE = 3
MISSING = EXIT_MISSING
INTERRUPTED = 130

EPILOG = (
    "Exit status: 0 all is well · 1 the answer is no (events refused, problems found, differences) · 2 wrong usage ·"
    " 3 the bus or a part of it cannot be reached or started · 4 a package is missing · 130 interrupted."
)


class Ended(Exception):
    """Ends the command with a status, and a sentence for standard error unless it is empty."""

    def __init__(self, status: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def status_of(error: BaseException) -> tuple[int, str]:
    """The exit status of an error, and what to say; raises it again when it is a fault of the program."""
    if isinstance(error, Ended):
        return error.status, error.sentence
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("portalbus"):
        return MISSING, missing_sentence(error.name or "").removeprefix("portalbus: ")
    found = _known(error)
    if found is None:
        raise error
    return found


def _known(error: BaseException) -> tuple[int, str] | None:
    """Errors of ours and of the clients; looked up by name, so that no client is imported to name its error."""
    from portalbus.schemas.errors import PortalbusError

    kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    if "portalbus.StackError" in kinds or isinstance(error, PortalbusError):
        return UNREACHABLE, str(error)
    if kinds & {"psycopg.LockNotAvailable", "psycopg.QueryCanceled"}:
        return UNREACHABLE, f"another session holds up this command in the database ({error}): try again later"
    if "psycopg.OperationalError" in kinds:
        return UNREACHABLE, "the database does not answer: see `portalbus status`, or start the bus with `portalbus up`"
    if "psycopg.UndefinedTable" in kinds or "psycopg.InvalidSchemaName" in kinds:
        return UNREACHABLE, "the database holds no ledger: start the bus once with `portalbus up`"
    if "cimpl.KafkaException" in kinds:
        return UNREACHABLE, f"Kafka does not answer as it should: {error}; see `portalbus status`"
    return None


def let_sigterm_interrupt() -> None:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, so that nothing is left behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # Whoever asked once has been heard: a second signal must not cut the tidying up short.
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def say_error(sentence: str) -> None:
    """One line on standard error."""
    if sentence:
        print(f"portalbus: {sentence}", file=sys.stderr)
