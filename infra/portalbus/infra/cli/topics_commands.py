"""`portalbus topics plan|apply`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import EPILOG, NO, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import Bootstrap, Home, Json, addresses, agency_codes, console

if TYPE_CHECKING:
    from portalbus.infra.bus.provision import TopicProblem, WantedTopic

app = typer.Typer(
    help="The topics of the bus in a Kafka cluster, by their contracts.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Agencies = Annotated[
    list[str] | None, typer.Option("--agency", help="Only these agencies; without it, all of today's directory.")
]


@app.command("plan", epilog=EPILOG)
def plan(agency: Agencies = None, json_: Json = False, bootstrap: Bootstrap = None, home: Home = None) -> None:
    """Say what `apply` would make or mend, and what it cannot; change nothing. Exit status 1 for anything to do."""
    from portalbus.infra.bus.provision import admin_client, find_problems

    wanted = _wanted(agency)
    where = addresses(home, ("bootstrap",), bootstrap=bootstrap)
    problems = list(find_problems(admin_client(where.bootstrap), wanted))
    if json_:
        typer.echo(json.dumps([_plain(problem) for problem in problems], indent=2))
    else:
        _show(problems)
    if problems:
        raise Ended(NO)


@app.command("apply", epilog=EPILOG)
def apply(agency: Agencies = None, json_: Json = False, bootstrap: Bootstrap = None, home: Home = None) -> None:
    """Make the topics that are missing and mend the settings of the others; nothing is deleted or made smaller."""
    from portalbus.infra.bus.provision import admin_client, provision

    wanted = _wanted(agency)
    where = addresses(home, ("bootstrap",), bootstrap=bootstrap)
    made, mended = provision(admin_client(where.bootstrap), wanted)
    if json_:
        typer.echo(json.dumps({"made": made, "mended": [_plain(problem) for problem in mended]}, indent=2))
        return
    for problem in mended:
        console().print(f"mended {problem}")
    console().print(f"{made} topics made, {len({problem.topic for problem in mended})} mended")


def _wanted(agency: list[str] | None) -> dict[str, WantedTopic]:
    from portalbus.infra.bus.provision import wanted_topics
    from portalbus.schemas.directory import directory

    codes = agency_codes(agency) if agency else [one.code for one in directory().current(datetime.now(UTC).date())]
    return wanted_topics(codes)


def _show(problems: list[TopicProblem]) -> None:
    for problem in problems:
        sign = styled("~", "yellow") if problem.mendable else mark(False)
        console().print(sign, f"{problem}" + ("" if problem.mendable else ": move its data to a new topic"))
    if not problems:
        console().print(mark(True), "every topic is as its contract says")
        return
    counts = Counter("to do" if problem.mendable else "by hand" for problem in problems)
    console().print(
        ", ".join(f"{count} {what}" for what, count in counts.items()) + "; `portalbus topics apply` does it"
    )


def _plain(problem: TopicProblem) -> dict[str, object]:
    return {"topic": problem.topic, "what": problem.what, "mendable": problem.mendable}
