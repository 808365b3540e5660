"""`portalbus reconcile`: the central store against what the sources state, now."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, Ended
from portalbus.infra.cli.marks import mark, styled
from portalbus.infra.cli.options import (
    Bootstrap,
    DatabaseUrl,
    Home,
    Json,
    RegistryUrl,
    addresses,
    agency_codes,
    console,
    quiet_logs,
)

if TYPE_CHECKING:
    from portalbus.streams.reconciling.reconciler import Reconciler
    from portalbus.streams.reconciling.report import Report

POLL_SECONDS = 0.25
SILENT_SECONDS = 2.0
TURN_SECONDS = 60.0
SHOWN = 20
WORDS = {
    "missing": "published and not there",
    "altered": "not as it was published",
    "unknown": "published by nobody",
}
CURES = {
    "ledger": "written anew from the ledger's own copy",
    "source": "sent again by the portal",
    "removed": "taken out, kept as evidence",
    "kept": "kept: the lane holds it, its portal has forgotten it",
}


def reconcile(
    agency: Annotated[
        list[str] | None, typer.Option("--agency", help="Only this agency; may be given several times.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for what portals are asked to send again.")
    ] = 60.0,
    json_: Json = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Compare the central store with what the portals state they published, and heal what differs.

    Names every event that is lost, altered or added in the central tables. What the ledger has an intact copy of is
    written anew from it; only what is lost altogether is sent again by its portal; what nobody published is taken out
    of public view and kept as evidence. The workers do the same by themselves every few minutes.

    \b
      portalbus reconcile                    everything
      portalbus reconcile --agency H26       one agency
      portalbus reconcile --json             for programs: every difference, and what healed it

    Exit status 0 when nothing differs, 1 when something did, healed or not.
    """
    from portalbus.schemas.registration import SchemaIds
    from portalbus.schemas.registry import SchemaRegistry
    from portalbus.streams.reconciling.lane_reader import LaneReader
    from portalbus.streams.reconciling.reconciler import Reconciler

    quiet_logs()
    names = agency_codes(agency or [])
    needed = ("bootstrap", "registry_url", "database_url")
    where = addresses(home, needed, bootstrap=bootstrap, registry_url=registry_url, database_url=database_url)
    writers = SchemaIds(SchemaRegistry(where.registry_url)).lane_writers()
    with Reconciler(where.database_url, writers, LaneReader(where.bootstrap, writers)) as reconciler:
        _take_turn(reconciler)
        report = _reconcile(reconciler, names, timeout)
    if json_:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        _print(report)
    if report.repairs:
        raise Ended(NO)


def _take_turn(reconciler: Reconciler) -> None:
    if reconciler.wait_for_turn(SILENT_SECONDS):
        return
    console(stderr=True).print(
        f"another comparison is at work: a worker's gives way within seconds, an operator's is waited for up to"
        f" {TURN_SECONDS:.0f} s …"
    )
    if not reconciler.wait_for_turn(TURN_SECONDS):
        raise Ended(UNREACHABLE, "another reconciliation has been running for a minute: try again later")


def _reconcile(reconciler: Reconciler, names: Sequence[str], timeout: float) -> Report:
    from portalbus.streams.reconciling.report import Report

    with console(stderr=True).status("comparing the central store with what the portals state …") as shown:
        started_at = reconciler.now()
        start = time.monotonic()
        compared = reconciler.run(names)
        seconds = time.monotonic() - start
        deadline = time.monotonic() + timeout
        while not reconciler.follow_up(names) and time.monotonic() < deadline:
            shown.update(f"waiting for the portals: {reconciler.awaited(names)}")
            time.sleep(POLL_SECONDS)
        return Report(compared, seconds, tuple(reconciler.repairs_since(names, started_at)))


def _print(report: Report) -> None:
    from portalbus.streams.reconciling.report import by_place

    out = console()
    compared = report.compared
    out.print(
        f"{compared.events} events and {compared.buckets} digests compared in {report.seconds:.1f} s:"
        f" {compared.differing_buckets} digests differed"
    )
    if not report.repairs:
        out.print(mark(True), "the central store is what the portals published")
        return
    for (kind, place), repairs in by_place(report.repairs).items():
        healed = sum(repair.healed_at is not None for repair in repairs)
        out.print(
            mark(healed == len(repairs)),
            styled(place, "bold"),
            f"{kind} ({WORDS[kind]}): {len(repairs)}, healed {healed}",
        )
        for repair in repairs[:SHOWN]:
            name = repair.key or f"event {repair.event_id}"
            columns = f" ({', '.join(repair.columns)})" if repair.columns else ""
            state = CURES[repair.healed_from] if repair.healed_from else "asked for" if repair.asked else "open"
            out.print(f"    {name}{columns}: {state}")
        if len(repairs) > SHOWN:
            out.print(f"    … and {len(repairs) - SHOWN} more: --json lists all")
    for key in report.missed_withdrawals:
        out.print(f"    {key} had been withdrawn, and was still shown")
    out.print(f"{report.healed} healed, {report.open} open, {report.asked_again} events asked for again")
