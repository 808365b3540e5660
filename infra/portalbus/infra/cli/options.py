"""Options that several commands share, and what they mean."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from portalbus.infra.bus.addresses import Addresses
    from portalbus.schemas.models import Texts


WIDE = 240
"""Columns where there is no terminal that has a width."""


class Language(StrEnum):
    """Languages of the rules' texts."""

    VI = "vi"
    EN = "en"
    ZH = "zh"


def usual_language() -> str:
    """The language of the environment when it is one of ours, else English."""
    said = os.environ.get("PORTALBUS_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return said[:2] if said[:2] in set(Language) else Language.EN


USUAL_LANGUAGE = Language(usual_language())

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="State folder of the local bus. [env: PORTALBUS_HOME; default: .portalbus]", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Lang = Annotated[Language, typer.Option("--lang", help="Language of the rules' texts. [env: PORTALBUS_LANG]")]
Bootstrap = Annotated[
    str | None,
    typer.Option(help="Kafka, host:port. [env: PORTALBUS_BOOTSTRAP; default: the local bus]", show_default=False),
]
RegistryUrl = Annotated[
    str | None,
    typer.Option(
        help="Schema registry, base of its API. [env: PORTALBUS_REGISTRY; default: the local bus]", show_default=False
    ),
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="The ledger. [env: PORTALBUS_DATABASE; default: the local bus]", show_default=False)
]


Why = Annotated[str, typer.Option(help="The reason; it is kept.")]
Who = Annotated[
    str | None,
    typer.Option(help="Who decides. [env: PORTALBUS_OPERATOR; default: the user of this session]", show_default=False),
]

OutboxFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of the outbox. [env: PORTALBUS_OUTBOX; default: <home>/outbox]", show_default=False),
]


def decider(who: str | None, why: str) -> tuple[str, str]:
    """Who decides and why, as they are kept. Ends the command when no reason is given."""
    from portalbus.infra.cli.exits import USAGE, Ended

    if not why.strip():
        raise Ended(USAGE, "--why must say why: it is what the next one reads")
    return who or os.environ.get("PORTALBUS_OPERATOR") or getpass.getuser(), why.strip()


def options_of_its_own(context: typer.Context) -> None:
    """Ends a command when options stand before its subcommand, where they would do nothing."""
    from portalbus.infra.cli.exits import USAGE, Ended

    sources = [context.get_parameter_source(name) for name in context.params]
    given = any(source is not None and source.name == "COMMANDLINE" for source in sources)
    if context.invoked_subcommand is not None and given:
        raise Ended(USAGE, f"write the options after `{context.info_name} {context.invoked_subcommand}`")


def local_time(moment: datetime | None) -> str:
    """A time on this machine's clock, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "–"


def home_folder(home: Path | None) -> Path:
    """The state folder that was meant."""
    if home is not None:
        return home.expanduser().resolve()
    return Path(os.environ.get("PORTALBUS_HOME") or ".portalbus").expanduser().resolve()


def outbox_folder(outbox: Path | None, home: Path | None) -> Path:
    """The folder of the outbox that was meant."""
    return outbox or Path(os.environ.get("PORTALBUS_OUTBOX") or home_folder(home) / "outbox")


def addresses(home: Path | None, need: tuple[str, ...], **given: Any) -> Addresses:
    """Where the bus is. Raises BusNotRunning when what is needed is not known."""
    from portalbus.infra.bus.addresses import find_addresses

    return find_addresses(home_folder(home), need, **given)


def agency_codes(given: Sequence[str]) -> list[str]:
    """Agency codes in their present form, `h26` as H26. Ends the command when one belongs to no body that ever was.

    Else a slip of the finger would be answered with an empty list, which says that all is well.
    """
    return [agency_code(code) for code in given]


def agency_code(given: str) -> str:
    """One agency code, like `agency_codes`."""
    from portalbus.infra.cli.exits import USAGE, Ended
    from portalbus.schemas.directory import directory, normalise_code
    from portalbus.schemas.spelling import AGENCY_CODE

    code = normalise_code(given)
    if AGENCY_CODE.fullmatch(code) and directory().history(code):
        return code
    near = directory().nearest(given)
    meant = f"did you mean {near.code} ({near.name_en or near.name_vi})?" if near else "an example is H26"
    raise Ended(USAGE, f"{given} is no agency code; {meant}")


def one_agency(given: str | None) -> str | None:
    """The agency of an option that may be left out, like `agency_codes`; None when it was."""
    return None if given is None else agency_code(given)


def console(*, stderr: bool = False) -> Console:
    """Where text for people goes; what is not a terminal gets long lines whole."""
    from portalbus.infra.cli.plain_console import PlainConsole

    found = PlainConsole(stderr=stderr)
    return found if found.is_terminal else PlainConsole(stderr=stderr, width=WIDE)


def quiet_logs() -> None:
    """Sends the SDK's warnings to standard error and drops the rest, so that standard output is the answer alone."""
    import logging
    import sys

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def in_language(texts: Texts | None, language: str) -> str:
    """One of the three languages of a text; empty for no text."""
    return str(getattr(texts, language)) if texts is not None else ""
