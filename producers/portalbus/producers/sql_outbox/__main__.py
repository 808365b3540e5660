"""`python -m portalbus.producers.sql_outbox`: relays what a portal committed, and decides about what is parked."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from portalbus.producers.intents.commands import add_arguments, run_command
from portalbus.producers.sql_outbox.sql_outbox import SqlOutbox

DATABASE = "PORTALBUS_PORTAL_DATABASE"
USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 1 no, 2 not understood."""
    parser = ArgumentParser(
        prog="python -m portalbus.producers.sql_outbox",
        description="Brings the events that a portal committed in its own database to the bus.",
        epilog=f"The portal's database is {DATABASE}, in SQLAlchemy's words; the bus is PORTALBUS_AGENCY, _PORTAL,"
        " _OUTBOX, _BOOTSTRAP, _REGISTRY and PORTALBUS_KAFKA_….",
    )
    parser.add_argument("--database", metavar="URL", help=f"the portal's database; better in {DATABASE}: it is secret")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        outbox = SqlOutbox.from_env()
        engine = _engine(options.database or os.environ.get(DATABASE, ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    try:
        return run_command(options, lambda: outbox.table(engine), lambda: outbox.relay_from_env(engine), _say)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    except SQLAlchemyError as error:
        print(_in_plain_words(error), file=sys.stderr)
        return 1
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    if not url:
        raise ValueError(f"set {DATABASE} to the portal's database, such as postgresql+psycopg://user@host/portal")
    settings: dict[str, Any] = {"pool_pre_ping": True}
    try:
        return create_engine(url, **settings)
    except (SQLAlchemyError, ImportError) as error:
        raise ValueError(f"{DATABASE} cannot be used: {type(error).__name__}; is its driver installed?") from None


def _say(text: str) -> None:
    print(text, flush=True)


def _in_plain_words(error: SQLAlchemyError) -> str:
    """What the database said, without the statement and its values."""
    return f"the portal's database said: {getattr(error, 'orig', None) or type(error).__name__}"


if __name__ == "__main__":
    sys.exit(main())
