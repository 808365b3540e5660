"""`portalbus publish`: CloudEvents from files through the real SDK."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.marks import mark
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    Bootstrap,
    Home,
    Json,
    Lang,
    RegistryUrl,
    addresses,
    agency_code,
    console,
    home_folder,
    in_language,
    quiet_logs,
)

if TYPE_CHECKING:
    from portalbus.producers import Portal, Receipt, Verdict
    from portalbus.schemas.findings import Finding

STDIN = "-"
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Line:
    """One line of a file: where it is, and its text."""

    file: str
    number: int
    text: str


def publish(
    files: Annotated[
        list[str], typer.Argument(help="Files of CloudEvents (JSON), one a line; - reads standard input.")
    ],
    agency: Annotated[str, typer.Option(help="Code of the agency that speaks, such as H26.")],
    portal: Annotated[str, typer.Option(help="Portal of the agency.")] = "www",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the centre's verdict on each event.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for Kafka, and with --wait for the verdicts.")
    ] = 30.0,
    outbox: Annotated[
        Path | None,
        typer.Option(help="Folder of the outbox. [env: PORTALBUS_OUTBOX; default: <home>/outbox]", show_default=False),
    ] = None,
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Publish CloudEvents, one a line, through the SDK; each line is answered with its place or with what to mend.

    \b
      portalbus publish events.ndjson --agency H26
      cat events.ndjson | portalbus publish - --agency H26 --portal www --wait --lang vi

    A line: {"specversion": "1.0", "id": "<UUID>", "source": "/H26/www", "type": "FeedbackReceived", "data": {…}}

    Lines that are right are published even when others are refused; exit status 1 when any was refused.
    """
    from portalbus.producers import Portal
    from portalbus.schemas.kafka_settings import kafka_from_env

    code = agency_code(agency)
    lines = _lines(files)
    where = addresses(home, ("bootstrap", "registry_url"), bootstrap=bootstrap, registry_url=registry_url)
    try:
        speaker = Portal(
            code,
            portal,
            bootstrap=where.bootstrap,
            registry_url=where.registry_url,
            outbox=outbox or Path(os.environ.get("PORTALBUS_OUTBOX") or home_folder(home) / "outbox"),
            verdicts=wait,
            kafka=kafka_from_env(),
        )
    except ValueError as error:
        raise Ended(USAGE, str(error)) from None
    quiet_logs()
    answers = Answers(json_, lang)
    with speaker:
        receipts = [receipt for line in lines if (receipt := _publish(speaker, line, answers)) is not None]
        delivered = speaker.flush(timeout)
        if wait and delivered:
            _await_verdicts(speaker, receipts, timeout, answers)
        undelivered = speaker.status().undelivered
    answers.summary(undelivered)
    if answers.refused:
        raise Ended(NO)
    if not delivered:
        raise Ended(
            UNREACHABLE,
            "Kafka has not acknowledged everything yet; it stays in the outbox and goes out at the next publish",
        )
    if wait and answers.waiting_for:
        raise Ended(
            UNREACHABLE, f"{answers.waiting_for} events have no verdict yet: `portalbus trace` shows them later"
        )


class Answers:
    """What is said to the caller, a line at a time, and the sums at the end."""

    def __init__(self, as_json: bool, language: str) -> None:
        self._json = as_json
        self._language = language
        self._console = console()
        self.published = 0
        self.refused = 0
        self.waiting_for = 0
        self.verdicts: dict[str, int] = {}

    def accept(self, line: Line, receipt: Receipt) -> None:
        """The SDK took it."""
        self.published += 1
        said = {"event_id": receipt.event_id, "key": receipt.key, "epoch": receipt.epoch, "sequence": receipt.sequence}
        self._say(line, {"published": True, **said}, f"{receipt.event_id} sequence {receipt.sequence}", well=True)

    def refuse(self, line: Line, findings: tuple[Finding, ...]) -> None:
        """The SDK refused it, for these reasons."""
        self.refused += 1
        reasons = [
            {
                "rule": finding.rule,
                "path": finding.path,
                "message": in_language(finding.message, self._language),
                "mend": in_language(finding.mend, self._language),
            }
            for finding in findings
        ]
        text = "\n    ".join(
            f"[{reason['rule']}] {reason['path']}: {reason['message']} {reason['mend']}".rstrip() for reason in reasons
        )
        self._say(line, {"published": False, "findings": reasons}, text, well=False)

    def verdict(self, verdict: Verdict) -> None:
        """The centre said something about an event."""
        self.verdicts[verdict.status.value] = self.verdicts.get(verdict.status.value, 0) + 1
        bad = verdict.status.value not in ("ACCEPTED", "DUPLICATE", "WAITING")
        self.refused += bad
        message, mend = in_language(verdict.message, self._language), in_language(verdict.mend, self._language)
        said = {
            "event_id": verdict.event_id,
            "status": verdict.status.value,
            "final": verdict.final,
            "rule": verdict.rule,
        }
        if self._json:
            typer.echo(
                json.dumps(
                    {"verdict": {**said, "path": verdict.path, "message": message, "mend": mend}}, ensure_ascii=False
                )
            )
        else:
            text = f"{verdict.event_id} {verdict.status.value} [{verdict.rule}] {message} {mend}"
            self._console.print(mark(not bad), text.rstrip())

    def summary(self, undelivered: int) -> None:
        """The sums."""
        sums = {
            "published": self.published,
            "refused": self.refused,
            "undelivered": undelivered,
            "verdicts": self.verdicts,
        }
        if self._json:
            typer.echo(json.dumps({"summary": sums}))
            return
        verdicts = "".join(f", {count} {status}" for status, count in self.verdicts.items())
        self._console.print(
            f"{self.published} published, {self.refused} refused, {undelivered} still in the outbox{verdicts}"
        )

    def _say(self, line: Line, fields: dict[str, Any], text: str, *, well: bool) -> None:
        if self._json:
            typer.echo(json.dumps({"file": line.file, "line": line.number, **fields}, ensure_ascii=False))
        else:
            self._console.print(f"{line.file}:{line.number}", mark(well), text)


def _publish(portal: Portal, line: Line, answers: Answers) -> Receipt | None:
    from portalbus.schemas.errors import EventRefused
    from portalbus.schemas.findings import Finding

    try:
        event = json.loads(line.text)
    except (json.JSONDecodeError, RecursionError) as error:
        answers.refuse(line, (Finding("schema.value", "", {"field": "/", "bound": f"JSON: {error}"}),))
        return None
    try:
        receipt = portal.publish_cloudevent(event)
    except EventRefused as refusal:
        answers.refuse(line, refusal.findings)
        return None
    answers.accept(line, receipt)
    return receipt


def _await_verdicts(portal: Portal, receipts: list[Receipt], timeout: float, answers: Answers) -> None:
    """Waits for a verdict on each event; one that waits for its cause is said to wait, and not waited for."""
    deadline = time.monotonic() + timeout
    open_ids = {receipt.event_id for receipt in receipts}
    while open_ids and time.monotonic() < deadline:
        for event_id in sorted(open_ids):
            found = portal.verdict_of(event_id)
            if found is not None:
                open_ids.discard(event_id)
                answers.verdict(found)
        time.sleep(LOOK_EVERY_S)
    answers.waiting_for = len(open_ids)


def _lines(files: list[str]) -> Iterator[Line]:
    missing = [file for file in files if file != STDIN and not Path(file).is_file()]
    if missing:
        raise Ended(USAGE, f"there is no file {', '.join(missing)}")
    return (line for file in files for line in _lines_of(file))


def _lines_of(file: str) -> Iterator[Line]:
    source = sys.stdin.buffer if file == STDIN else Path(file).open("rb")  # noqa: SIM115 - closed below
    try:
        for number, raw in enumerate(source, 1):
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").strip()
            if text:
                yield Line("standard input" if file == STDIN else file, number, text)
    finally:
        if file != STDIN:
            source.close()
