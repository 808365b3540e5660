"""`portalbus cases undecided|assign|decisions`: cases that only a person may move on, and what was decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.marks import line, styled
from portalbus.infra.cli.options import (
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    OutboxFolder,
    RegistryUrl,
    Who,
    addresses,
    agency_code,
    console,
    decider,
    outbox_folder,
    quiet_logs,
)

if TYPE_CHECKING:
    from portalbus.producers import Verdict
    from portalbus.schemas.models import FeedbackProgressed
    from portalbus.streams.casework.assigning import Assigned, Speaker
    from portalbus.streams.ledger.case_desk import CaseDecision
    from portalbus.streams.reading.undecided import Undecided

WAIT_SECONDS = 30.0


def undecided(
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List cases that nobody but a person may move on, with what the rules suggest; exit status 1 when there are any.

    Their body has several successors or none, a transfer was refused (a loop, one too many, to several), they went up
    to the Government Portal, or they were sent to it and no rule gives them to one other body. Decide with
    `portalbus cases assign`; what the rules decide by themselves: `portalbus cases route`.
    """
    from portalbus.schemas.directory import directory
    from portalbus.schemas.facts import legal_day
    from portalbus.schemas.law.competence import competence
    from portalbus.streams.ledger.database import connect
    from portalbus.streams.reading.undecided import undecided as read

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="undecided", autocommit=True) as connection:
        found = read(connection, directory(), competence(), legal_day(datetime.now(UTC)))
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False, default=str))
    elif not found:
        console().print("no case waits for a person's decision")
    else:
        _show(found)
    if found:
        raise Ended(NO)


def assign(
    case_id: Annotated[str, typer.Argument(metavar="CASE", help="The case, such as H26-2026-000123.")],
    to: Annotated[str, typer.Option(metavar="AGENCY", help="The body that has it from now on, such as G09.")],
    why: Annotated[str, typer.Option(help="The reason; it is kept, and the bodies concerned read it.")],
    who: Who = None,
    outbox: OutboxFolder = None,
    wait: Annotated[bool, typer.Option(help="Wait until it was judged.")] = True,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Give a case to a body, as a person of the Government Portal who decides; exit status 1 when it is refused.

    The decision is a step that G22 says on its lane, so it is judged, replayed, passed on and shown like any other. It
    needs the right to write there. Who decided and why is kept beside it: `portalbus cases decisions`.
    """
    from portalbus.schemas.kafka_settings import kafka_from_env
    from portalbus.streams.casework.assigning import Speaker

    agency = agency_code(to)
    need = ("database_url", "bootstrap", "registry_url")
    where = addresses(home, need, database_url=database_url, bootstrap=bootstrap, registry_url=registry_url)
    quiet_logs()
    speaker = Speaker(where.bootstrap, where.registry_url, outbox_folder(outbox, home), kafka=kafka_from_env())
    step = _step(case_id, agency, why)
    by, _ = decider(who, why)
    said = _decide(speaker, where.database_url, step, by, wait=wait)
    verdict = said.verdict
    _say(case_id, said.owner, agency, said.event_id, verdict, as_json=json_)
    if verdict is not None and verdict.status.value != "ACCEPTED":
        raise Ended(NO)


def decisions(
    case_id: Annotated[str | None, typer.Argument(metavar="[CASE]", help="Only those about this case.")] = None,
    json_: Json = False,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """List what persons and the rules of competence decided about cases: who, when, why, and what the judge said."""
    from portalbus.streams.ledger.case_desk import case_decisions
    from portalbus.streams.ledger.database import connect

    where = addresses(home, ("database_url",), database_url=database_url)
    with connect(where.database_url, application="decisions", autocommit=True) as connection:
        found = case_decisions(connection, case_id)
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False, default=str))
    elif not found:
        console().print("nothing was decided")
    else:
        _show_decisions(found)


def _show_decisions(found: Sequence[CaseDecision]) -> None:
    from rich.table import Table

    table = Table("case", "from", "to", "by", "at", "why", "judged", box=None, header_style="bold")
    for one in found:
        at = one.decided_at.astimezone().strftime("%Y-%m-%d %H:%M")
        judged = one.rule or "not yet"
        table.add_row(one.case_id, one.from_agency, one.to_agency, one.decided_by, at, one.why, judged)
    console().print(table)


def _step(case_id: str, agency: str, why: str) -> FeedbackProgressed:
    """The step, complete: nobody reads a decision without a reason of substance."""
    from pydantic import ValidationError

    from portalbus.schemas.case_rules import shortest_reason
    from portalbus.schemas.facts import facts_now
    from portalbus.streams.casework.assigning import NoReason, assigning_step

    try:
        return assigning_step(case_id, agency, why)
    except NoReason:
        raise Ended(
            USAGE,
            f"--why must give the reason in words of substance, at least {shortest_reason(facts_now())} characters",
        ) from None
    except ValidationError as error:
        raise Ended(USAGE, f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error


def _decide(speaker: Speaker, database_url: str, step: FeedbackProgressed, who: str, *, wait: bool) -> Assigned:
    """Decides, and where it was asked for waits for the verdict."""
    from portalbus.schemas.errors import EventRefused
    from portalbus.streams.casework.assigning import assign as decide
    from portalbus.streams.ledger.case_desk import CaseMoved, CaseNotOpen

    try:
        with speaker.voice(verdicts=wait) as voice:
            said = decide(database_url, voice, step, who, wait_s=WAIT_SECONDS if wait else None)
    except (CaseMoved, CaseNotOpen) as error:
        raise Ended(NO, str(error)) from None
    except EventRefused as refusal:
        finding = refusal.findings[0]
        mend = finding.mend.en if finding.mend else ""
        raise Ended(NO, f"[{finding.rule}] {finding.message.en} {mend}".rstrip()) from None
    if wait and said.verdict is None:
        raise Ended(
            UNREACHABLE,
            f"it was not judged within {WAIT_SECONDS:g} s; what was not sent lies in {speaker.outbox} and goes with the"
            f" next decision from there, and `portalbus trace {said.event_id}` shows when it was judged",
        )
    return said


def _say(case_id: str, owner: str, to: str, event_id: str, verdict: Verdict | None, *, as_json: bool) -> None:
    said: dict[str, Any] = {"case_id": case_id, "from": owner, "to": to, "event_id": event_id}
    said |= {"status": verdict.status.value if verdict else None, "rule": verdict.rule if verdict else None}
    if as_json:
        typer.echo(json.dumps(said))
        return
    judged = f"{verdict.status.value} [{verdict.rule}] {verdict.message.en}" if verdict else "not judged yet"
    console().print(f"{case_id}: {owner} → {to}: {judged}")


def _show(found: list[Undecided]) -> None:
    from rich.table import Table

    table = Table(
        "case", "with", "why", "field", "received", "choose among", "suggested", box=None, header_style="bold"
    )
    for one in found:
        case = one.case
        cause = f"{one.cause.value}: {case.rule}" if case.rule else one.cause.value
        received = case.received_at.astimezone().strftime("%Y-%m-%d")
        urgent = styled("urgent ", "red") if case.urgency == "URGENT" else ""
        table.add_row(
            line(urgent, case.case_id),
            " → ".join(case.passed) or case.owner,
            cause,
            case.field or "–",
            received,
            ", ".join(one.candidates) or "any body",
            one.suggested or "–",
        )
    console().print(table)
