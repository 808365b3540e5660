"""Shows a run: a live table on a terminal, plain lines elsewhere, and the summary at the end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo.cast import GOVERNMENT_PORTAL
from portalbus.infra.demo.figures import Figures
from portalbus.infra.demo.run import DemoOptions, DemoRun, Outcome, Progress
from portalbus.schemas.directory import Agency

COLUMNS = ("sent", "accepted", "waiting", "rejected", "duplicate", "parked", "lag")
STATUSES = ("ACCEPTED", "WAITING", "REJECTED", "DUPLICATE", "PARKED")
LINE_EVERY_S = 5.0
MOST_PROBLEMS_SHOWN = 40


def play_and_show(options: DemoOptions, addresses: Addresses, home: Path, console: Console) -> Outcome:
    """Plays a run and shows it; the SDK's own log lines go to `logs/demo.log`."""
    with (home / "logs" / "demo.log").open("a", encoding="utf-8") as log:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(utc=True),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.WriteLoggerFactory(file=log),
            cache_logger_on_first_use=False,
        )
        try:
            with LiveTable(console) if console.is_terminal else Lines(console) as show:
                outcome = DemoRun(options, addresses, home, show.tell).play()
        finally:
            structlog.reset_defaults()
    print_summary(outcome, addresses, console)
    return outcome


class Lines:
    """A line for each new phase, and one every few seconds: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tell(self, progress: Progress) -> None:
        """Hear how far the run is."""
        if progress.phase == self._phase and progress.seconds < self._due:
            return
        if progress.phase != self._phase:
            self._console.print(f"  … {progress.phase}")
        self._phase = progress.phase
        self._due = progress.seconds + LINE_EVERY_S
        if progress.sent:
            row = _row(progress, None)
            figures = ", ".join(
                f"{value} {name}" for name, value in zip(COLUMNS, row, strict=True) if value or name == "lag"
            )
            self._console.print(f"    {progress.seconds:5.1f} s: {figures}")


class LiveTable:
    """A table that is drawn anew a few times a second: one row an agency where there is room, else one a kind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, progress: Progress) -> None:
        """Hear how far the run is."""
        groups = group_agencies(progress.plan.cast, self._console.height - 8)
        table = Table(
            title=f"{progress.phase}, {progress.seconds:.0f} s", title_justify="left", box=None, header_style="bold"
        )
        table.add_column("")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for name, agencies in groups.items():
            table.add_row(name, *_cells(_row(progress, agencies)))
        table.add_row("all", *_cells(_row(progress, None)), style="bold")
        self._live.update(table)


def group_agencies(cast: tuple[Agency, ...], room: int) -> dict[str, frozenset[str]]:
    """The rows of the table: agencies one by one when `room` lines are enough, else by kind."""
    if len(cast) <= room:
        return {f"{agency.code} {agency.name_vi}": frozenset({agency.code}) for agency in cast}
    groups: dict[str, set[str]] = {}
    for agency in cast:
        name = "provinces and cities" if agency.kind == "province" else "ministries and agencies"
        groups.setdefault("Government Portal (G22)" if agency.code == GOVERNMENT_PORTAL else name, set()).add(
            agency.code
        )
    return {f"{name}: {len(codes)}" if len(codes) > 1 else name: frozenset(codes) for name, codes in groups.items()}


def print_summary(outcome: Outcome, addresses: Addresses, console: Console) -> None:
    """The figures of a run, for people."""
    found = outcome.figures
    console.print(
        Text(f"\n{len(outcome.plan.cast)} portals, {found.sent} records in {outcome.seconds:.1f} s", "bold"),
        f"(seed {outcome.plan.seed})",
    )
    table = Table.grid(padding=(0, 2))
    for name, value in _summary_rows(found):
        table.add_row(name, str(value))
    console.print(table)
    _print_rules("accepted by way in", found.accepted_by_door, console)
    _print_rules("rejected by rule", found.rejected_by_rule, console)
    _print_rules("parked by rule", found.parked_by_rule, console)
    _print_rules("refused by the SDK at the portal", found.refused_by_sdk, console)
    for name, latency in (
        ("publish() to readable in the ledger", found.end_to_end),
        ("publish() itself", found.publish_call),
    ):
        console.print(f"{name}: p50 {latency.p50:.1f} ms, p95 {latency.p95:.1f} ms, p99 {latency.p99:.1f} ms")
    _print_verdict(outcome, console)
    console.print(f"central portal: {addresses.central_url}")


def _summary_rows(found: Figures) -> list[tuple[str, object]]:
    return [
        ("sent", found.sent),
        ("accepted", f"{found.accepted} ({found.waiting_released} records waited for their cause first)"),
        ("waiting", f"{found.waiting} (their cause never comes)"),
        ("rejected", found.rejected),
        ("duplicates", found.duplicates),
        ("parked", found.parked),
    ]


def _print_rules(title: str, rules: Mapping[str, int], console: Console) -> None:
    if rules:
        console.print(f"{title}: " + ", ".join(f"{rule} {count}" for rule, count in rules.items()))


def _print_verdict(outcome: Outcome, console: Console) -> None:
    if outcome.ok:
        console.print(
            Text("✓", "green"),
            "every record has exactly one verdict, and the store equals what was sent, field by field",
        )
        return
    console.print(Text("✗", "red"), f"{len(outcome.problems)} differences:")
    for problem in outcome.problems[:MOST_PROBLEMS_SHOWN]:
        console.print(f"  {problem}")
    if len(outcome.problems) > MOST_PROBLEMS_SHOWN:
        console.print(f"  … and {len(outcome.problems) - MOST_PROBLEMS_SHOWN} more")


def _row(progress: Progress, agencies: frozenset[str] | None) -> list[int]:
    sent = sum(count for agency, count in progress.sent.items() if agencies is None or agency in agencies)
    standing: Counter[str] = Counter()
    for (agency, status), count in progress.standing.items():
        if agencies is None or agency in agencies:
            standing[status] += count
    return [sent, *(standing[status] for status in STATUSES), max(0, sent - sum(standing.values()))]


def _cells(row: list[int]) -> list[str]:
    return [str(value) if value else "·" for value in row]
