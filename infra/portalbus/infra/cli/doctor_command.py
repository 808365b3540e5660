"""`portalbus doctor`."""

from __future__ import annotations

import json

import typer

from portalbus.infra.cli.exits import NO, Ended
from portalbus.infra.cli.marks import mark
from portalbus.infra.cli.options import Home, Json, console, home_folder


def doctor(json_: Json = False, home: Home = None) -> None:
    """Check this machine and the bus on it, a line each, with a remedy for what is wrong; status 1 for any problem.

    What can only be checked on a running bus is left out when none is up.
    """
    from portalbus.infra.checkup import check_up

    findings = check_up(home_folder(home))
    if json_:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2, ensure_ascii=False))
    for finding in findings if not json_ else []:
        console().print(mark(finding.ok), f"{finding.what}: {finding.found}")
        if not finding.ok and finding.remedy:
            console().print(f"    → {finding.remedy}")
    problems = sum(not finding.ok for finding in findings)
    if problems:
        raise Ended(NO, "" if json_ else f"{problems} problems")
