"""`portalbus conformance`."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended, let_sigterm_interrupt
from portalbus.infra.cli.marks import line, mark, styled
from portalbus.infra.cli.options import USUAL_LANGUAGE, Json, Lang, agency_code, console, in_language, quiet_logs

if TYPE_CHECKING:
    from portalbus.connectors.conformance.examination import Examination, Result
    from portalbus.connectors.conformance.judging import Fault
    from portalbus.connectors.conformance.running import Run
    from portalbus.connectors.conformance.scenario import Scenario


def conformance(
    target: Annotated[
        str | None, typer.Option(help="Where the portal's driver listens: http://127.0.0.1:9000/", show_default=False)
    ] = None,
    sdk: Annotated[bool, typer.Option("--sdk", help="Examine the Python SDK itself.")] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="The command that starts the portal with its driver. With it, the portal is also killed and started"
            " again.",
            show_default=False,
        ),
    ] = None,
    door: Annotated[str, typer.Option(help="How the portal sends: gateway (HTTP) or kafka (the SDK).")] = "gateway",
    agency: Annotated[str, typer.Option(help="The agency that the portal speaks for.")] = "H26",
    only: Annotated[
        list[str] | None, typer.Option(help="Only this scenario; may be given several times.", show_default=False)
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds that the portal has for delivering.")] = 30.0,
    report: Annotated[
        Path | None, typer.Option(help="Write the certificate, or the failures, to this file as JSON.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the scenarios and why they matter, and end.")] = False,
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
) -> None:
    """Examine a portal's sending side: outages, retries, kills, text, wrong data; print a certificate or the failures.

    \b
      portalbus conformance --sdk
      portalbus conformance --target http://127.0.0.1:9000/ --start "php -S 127.0.0.1:9000 driver.php"
      portalbus conformance --list --lang vi

    The portal has a small driver that takes one step at a time: docs/howto/conformance.md. Exit status 1 when a
    scenario failed, 3 when the driver does not answer.
    """
    wanted = _wanted(only or [])
    if list_:
        _list(wanted, lang, json_)
        return
    if sdk == (target is not None):
        raise Ended(USAGE, "give --target ADDRESS of the portal's driver, or --sdk")
    let_sigterm_interrupt()
    quiet_logs()
    found = _examine(target, start, door, agency_code(agency), patience, wanted, quiet=json_)
    if report is not None:
        report.write_text(_document(found), encoding="utf-8")
    if json_:
        typer.echo(_document(found))
    else:
        _show(found, lang)
    if not found.conforms:
        raise Ended(NO)


def _wanted(only: list[str]) -> list[Scenario]:
    from portalbus.connectors.conformance.scenario import scenarios

    known = {scenario.id: scenario for scenario in scenarios()}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise Ended(USAGE, f"there is no scenario {', '.join(unknown)}: see `portalbus conformance --list`")
    return [known[name] for name in only] or list(known.values())


def _examine(
    target: str | None,
    start: str | None,
    door: str,
    agency: str,
    patience: float,
    wanted: list[Scenario],
    *,
    quiet: bool,
) -> Examination:
    from portalbus.connectors.conformance.driven_portal import DriverFailed
    from portalbus.connectors.conformance.examination import examine
    from portalbus.connectors.conformance.kit import DOORS, portal_run, sdk_run

    if door not in DOORS:
        raise Ended(USAGE, f"there is no door {door}: it is one of {', '.join(DOORS)}")
    opened: AbstractContextManager[Run] = (
        sdk_run(agency, patience) if target is None else portal_run(target, start, door, agency, patience)
    )
    out = console(stderr=True)
    try:
        with opened as run, out.status("…") as status:

            def heard(result: Result) -> None:
                if not quiet:
                    status.update(f"{result.scenario.id}: {result.outcome}")

            return examine(run, wanted, heard)
    except DriverFailed as failure:
        raise Ended(UNREACHABLE, f"{failure}; docs/howto/conformance.md says what a driver is") from None


def _document(found: Examination) -> str:
    return json.dumps(found.as_json(), indent=2, ensure_ascii=False)


def _list(wanted: list[Scenario], lang: Lang, json_: bool) -> None:
    if json_:
        typer.echo(json.dumps([scenario.model_dump() for scenario in wanted], indent=2, ensure_ascii=False))
        return
    out = console()
    for scenario in wanted:
        out.print(styled(scenario.id, "bold"), f" {in_language(scenario.title, lang)}")
        out.print(f"    {in_language(scenario.why, lang)}")


def _show(found: Examination, lang: Lang) -> None:
    from rich.table import Table

    out = console()
    table = Table("", "scenario", "", "s", box=None, header_style="bold")
    for result in found.results:
        outcome, title = result.outcome.value, in_language(result.scenario.title, lang)
        sign = styled("–", "yellow") if outcome == "not-shown" else mark(outcome == "passed")
        table.add_row(sign, result.scenario.id, title, f"{result.seconds:.1f}")
    out.print(table)
    advised: set[str] = set()
    for result in found.results:
        for fault in result.faults:
            if not (fault.advice and fault.kind in advised):  # once is enough
                _show_fault(result, fault, lang)
            advised.add(fault.kind)
    _show_verdict(found)


def _show_fault(result: Result, fault: Fault, lang: Lang) -> None:
    out = console()
    colour = "yellow" if result.outcome.value != "failed" or fault.advice else "red"
    out.print(line(styled(result.scenario.id, colour), f": {in_language(fault.message, lang)}"))
    out.print(f"    → {in_language(fault.mend, lang)}")


def _show_verdict(found: Examination) -> None:
    from rich.panel import Panel
    from rich.text import Text

    counts = found.counts()
    told = f"{counts['passed']} passed, {counts['failed']} failed, {counts['not-shown']} not shown"
    lines = [
        f"{found.portal} ({found.technology}), by the door {found.door}",
        f"{told} · scenarios {found.edition[:12]} · {found.kit} · {found.at.isoformat(timespec='seconds')}",
    ]
    title, colour = ("certificate", "green") if found.conforms else ("does not conform", "red")
    console().print(Panel(Text("\n".join(lines)), title=title, border_style=colour, expand=False))
