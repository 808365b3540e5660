"""`portalbus connect init`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.marks import line, mark
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    Bootstrap,
    Home,
    Json,
    Lang,
    RegistryUrl,
    agency_code,
    console,
    home_folder,
    in_language,
    quiet_logs,
)

if TYPE_CHECKING:
    from rich.text import Text

    from portalbus.infra.bus.addresses import Addresses
    from portalbus.infra.connecting.beginnings import Way
    from portalbus.infra.connecting.marked_event import Answer

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The answers to the five questions."""

    agency: str
    portal: str
    way: Way
    address: str
    file: Path

    @property
    def source(self) -> str:
        """Agency and portal: `H26/www`."""
        return f"{self.agency}/{self.portal}"


def init(
    agency: Annotated[str | None, typer.Option(help="The agency that speaks, such as H26.", show_default=False)] = None,
    portal: Annotated[str | None, typer.Option(help="Which of its portals, such as www.", show_default=False)] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="How it joins: sdk, django, gateway, feed, sitemap, json, sql, files, open311, imap.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="What is read; for sdk and django the outbox folder, for gateway the language.", show_default=False
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="The file to write.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Look at the source, and send a marked event.")] = True,
    gateway_url: Annotated[
        str | None,
        typer.Option(
            help="For the test of a gateway portal. [env: PORTALBUS_GATEWAY; default: the local bus]",
            show_default=False,
        ),
    ] = None,
    gateway_key: Annotated[
        str | None,
        typer.Option(help="Its API key.", envvar="GATEWAY_KEY", show_envvar=True, show_default=False),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the verdict.")] = PATIENCE_S,
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Begin with a portal: asks five questions, writes the file to start from, and tries the way to the centre.

    \b
      portalbus connect init
      portalbus connect init --agency H26 --portal www --kind feed --address https://hanoi.gov.vn/rss --file pull.yaml

    The test sends one marked event (a canary: it goes the whole way, and is shown to nobody) and shows its verdict.
    Exit status 1 when the source or the event is refused, 3 when the bus does not answer.
    """
    from portalbus.infra.bus.addresses import find_addresses

    wanted = _ask(agency, portal, kind, address, file)
    _write(wanted, force)
    _say(json_, line(mark(True), f" {wanted.file} is written"))
    if not test:
        _next_steps(wanted, json_)
        return
    quiet_logs()
    well = _look_at_source(wanted, json_, lang)
    folder = home_folder(home)
    where = find_addresses(folder, bootstrap=bootstrap, registry_url=registry_url, gateway_url=gateway_url)
    answer = _send(wanted, where, folder, gateway_key, lang, timeout)
    _show(wanted, answer, json_, lang)
    _next_steps(wanted, json_)
    if answer.verdict is None:
        raise Ended(UNREACHABLE, "the marked event has no verdict: mend what is said above, and run it again")
    if not (well and answer.is_accepted):
        raise Ended(NO)


def _ask(agency: str | None, portal: str | None, kind: str | None, address: str | None, file: Path | None) -> Wanted:
    """The five questions, each unless its flag was given."""
    from portalbus.infra.connecting.beginnings import BEGINNINGS, Way

    agency = _agency(agency or typer.prompt("1. Agency (its code, such as H26)", err=True))
    portal = _portal(portal or typer.prompt("2. Which of its portals", default="www", err=True))
    if kind is None:
        for way, beginning in BEGINNINGS.items():
            typer.echo(f"     {way.value:<9} {beginning.what}", err=True)
    said = kind or typer.prompt("3. How does it join", default=Way.FEED.value, err=True)
    if said not in set(Way):
        raise Ended(USAGE, f"there is no way {said}; there are {', '.join(Way)}")
    way = Way(said)
    beginning = BEGINNINGS[way]
    address = address or typer.prompt(f"4. {beginning.asks}", default=beginning.example, err=True)
    usual = beginning.file or _client_of(address)
    file = file or Path(typer.prompt("5. File to write", default=usual, err=True))
    return Wanted(agency, portal, way, address, file)


def _agency(said: str) -> str:
    from datetime import date

    from portalbus.schemas.directory import directory
    from portalbus.schemas.errors import AgencyUnknown

    code = agency_code(said)
    try:
        directory().agency(code, date.today())
    except AgencyUnknown as error:
        raise Ended(USAGE, str(error)) from None
    return code


def _portal(said: str) -> str:
    from portalbus.schemas.spelling import PORTAL_ID

    if not PORTAL_ID.fullmatch(said):
        raise Ended(USAGE, f"portal {said!r} must be 1 to 64 of a-z, 0-9, '.', '_' and '-'; an example is www")
    return said


def _client_of(language: str) -> str:
    from portalbus.infra.connecting.beginnings import CLIENTS, client_file

    try:
        return client_file(language)
    except KeyError:
        raise Ended(USAGE, f"there is no client in {language}; there are {', '.join(CLIENTS)}") from None


def _write(wanted: Wanted, force: bool) -> None:
    from portalbus.infra.connecting.beginnings import Way, first_text

    if wanted.way is Way.GATEWAY:
        _client_of(wanted.address)
    if wanted.file.exists() and not force:
        raise Ended(USAGE, f"{wanted.file} is there already: give another --file, or --force")
    text = first_text(wanted.way, wanted.agency, wanted.portal, wanted.address)
    try:
        wanted.file.parent.mkdir(parents=True, exist_ok=True)
        wanted.file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Ended(USAGE, f"{wanted.file} cannot be written ({error.strerror})") from None


def _look_at_source(wanted: Wanted, json_: bool, lang: str) -> bool:
    """What would be published from a portal that is read, without sending it; True when nothing is wrong."""
    if not wanted.way.is_pulled:
        return True
    from portalbus.connectors.pull.config_file import ConfigWrong, read_config
    from portalbus.connectors.pull.entry import entries
    from portalbus.connectors.pull.runner import surroundings
    from portalbus.connectors.pull.trying import try_all
    from portalbus.connectors.pull.web.client import Web
    from portalbus.infra.cli.connect_commands import show_trial

    try:
        config = read_config(wanted.file)
    except ConfigWrong as wrong:
        raise Ended(USAGE, str(wrong)) from None
    trials = try_all(entries(config), surroundings(Web(config.web)), 1)
    for trial in trials if not json_ else ():
        show_trial(trial, lang)
    return all(not trial.failed for trial in trials)


def _send(wanted: Wanted, where: Addresses, home: Path, gateway_key: str | None, lang: str, timeout: float) -> Answer:
    from portalbus.infra.connecting.beginnings import Way
    from portalbus.infra.connecting.marked_event import send_by_gateway, send_by_sdk
    from portalbus.schemas.kafka_settings import kafka_from_env

    if wanted.way is Way.GATEWAY:
        if not where.gateway_url:
            raise Ended(UNREACHABLE, "no gateway is known: give --gateway-url, or start a bus with `portalbus up`")
        key = gateway_key or _local_key(wanted, where, home)
        return send_by_gateway(where.gateway_url, key, wanted.source, lang, timeout)
    if not (where.bootstrap and where.registry_url):
        raise Ended(UNREACHABLE, "no bus is known: give --bootstrap and --registry-url, or start one: `portalbus up`")
    return send_by_sdk(
        wanted.agency,
        wanted.portal,
        where.bootstrap,
        where.registry_url,
        _outbox(wanted),
        kafka_from_env(),
        timeout,
    )


def _outbox(wanted: Wanted) -> Path:
    """The source's own outbox: the numbers of its events begin there, with the marked one."""
    if wanted.way.is_pulled:
        return wanted.file.parent / "outbox"
    given = os.environ.get("PORTALBUS_OUTBOX")
    return Path(given) if given else wanted.file.parent / wanted.address


def _local_key(wanted: Wanted, where: Addresses, home: Path) -> str:
    """A key for the gateway of the local bus, printed once; elsewhere its operator makes one."""
    from portalbus.connectors.gateway.database import KEYS, open_database
    from portalbus.connectors.gateway.keys import add_key
    from portalbus.infra.bus.addresses import local_addresses
    from portalbus.infra.bus.processes import GATEWAY_FOLDER

    if where.gateway_url != local_addresses(home).gateway_url:
        raise Ended(USAGE, "the gateway's operator makes a key for you: give it in GATEWAY_KEY")
    connection = open_database(home / GATEWAY_FOLDER / "keys.sqlite", KEYS)
    try:
        key = add_key(connection, wanted.agency, wanted.portal, note="connect init")
    finally:
        connection.close()
    print(f"a key of the local gateway, shown this once: {key}", file=sys.stderr)
    return key


def _show(wanted: Wanted, answer: Answer, json_: bool, lang: str) -> None:
    verdict = answer.verdict
    if json_:
        import json

        said = {"source": wanted.source, "file": str(wanted.file), "event_id": answer.event_id}
        found = verdict.model_dump(mode="json") if verdict else None
        typer.echo(json.dumps({**said, "verdict": found, "trouble": answer.trouble or None}, ensure_ascii=False))
    elif verdict is None:
        console().print(mark(False), f"marked event {answer.event_id}: {answer.trouble}")
    else:
        text = f"{in_language(verdict.message, lang)} {in_language(verdict.mend, lang)}".rstrip()
        console().print(
            mark(answer.is_accepted),
            f"marked event {answer.event_id}: {verdict.status.value} [{verdict.rule}] {text} ({answer.seconds:.1f} s)",
        )


def _next_steps(wanted: Wanted, json_: bool) -> None:
    from portalbus.infra.connecting.beginnings import Way

    following = {
        Way.SDK: f"python {wanted.file}; docs/howto/portal-developer.md",
        Way.DJANGO: "put what the file says into your settings; docs/howto/portal-with-a-database.md",
        Way.GATEWAY: "GATEWAY_URL, GATEWAY_KEY and GATEWAY_SOURCE in the environment; docs/howto/gateway.md",
    }
    usual = f"portalbus connect try {wanted.file}, then portalbus connect run {wanted.file}"
    _say(json_, f"next: {following.get(wanted.way, usual)}")


def _say(json_: bool, text: str | Text) -> None:
    if not json_:
        console().print(text)
