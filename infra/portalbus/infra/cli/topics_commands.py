"""`portalbus topics plan|apply`: the topics of a bus in any Kafka, held to their contracts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import EPILOG, NO, Ended
from portalbus.infra.cli.options import Bootstrap, Home, Json, addresses, agency_codes, console

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from portalbus.infra.bus.provision import TopicProblem, WantedTopic

app = typer.Typer(
    help="Lanes, verdict topics and canonical topics: what a cluster lacks, and putting it right.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)

Agencies = Annotated[
    list[str] | None,
    typer.Option("--agency", help="An agency to have a lane; may be given again. [default: all current first-level]"),
]


@app.command("plan", epilog=EPILOG)
def plan(agency: Agencies = None, json_: Json = False, bootstrap: Bootstrap = None, home: Home = None) -> None:
    """Say what `apply` would change, and change nothing; exit status 1 when that is something."""
    from portalbus.infra.bus.provision import find_problems

    admin, wanted = _cluster(home, bootstrap, agency)
    problems = list(find_problems(admin, wanted))
    _report(problems, json_, f"all {len(wanted)} topics are as their contracts want them")
    if problems:
        raise Ended(NO)


@app.command("apply", epilog=EPILOG)
def apply(agency: Agencies = None, json_: Json = False, bootstrap: Bootstrap = None, home: Home = None) -> None:
    """Make what is missing and mend the settings; no topic is deleted and none loses a record.

    A topic with another number of partitions is left as it is and named: its order hangs on it.
    """
    from portalbus.infra.bus.provision import find_problems, provision

    admin, wanted = _cluster(home, bootstrap, agency)
    problems = list(find_problems(admin, wanted))
    stubborn = {problem.topic for problem in problems if not problem.mendable}
    provision(admin, {name: topic for name, topic in wanted.items() if name not in stubborn})
    _report(problems, json_, f"all {len(wanted)} topics are as their contracts want them", done=True)
    if stubborn:
        raise Ended(NO)


def _cluster(
    home: Path | None, bootstrap: str | None, agency: Sequence[str] | None
) -> tuple[AdminClient, Mapping[str, WantedTopic]]:
    from portalbus.infra.bus.provision import admin_client, wanted_topics
    from portalbus.schemas.directory import directory

    codes = agency_codes(agency or []) or [one.code for one in directory().current(datetime.now(UTC).date())]
    where = addresses(home, ("bootstrap",), bootstrap=bootstrap)
    return admin_client(where.bootstrap), wanted_topics(codes)


def _report(problems: Sequence[TopicProblem], as_json: bool, good: str, *, done: bool = False) -> None:
    if as_json:
        said: dict[str, Any] = {"changed" if done else "planned": [asdict(one) for one in problems if one.mendable]}
        said["by_hand"] = [asdict(one) for one in problems if not one.mendable]
        typer.echo(json.dumps(said, indent=2))
        return
    for problem in problems:
        sign = ("✓" if done else "→") if problem.mendable else "✗"
        rest = "" if problem.mendable else "; move its data to a new topic, the bus does not change partitions itself"
        console().print(f"{sign} {problem}{rest}", markup=False)
    if not problems:
        console().print(f"✓ {good}", markup=False)
    elif not done:
        console().print("`portalbus topics apply` does what → says", markup=False)
