"""`portalbus rebuild`: the ledger once more from the lanes, compared with the one in use."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, USAGE, Ended, let_sigterm_interrupt
from portalbus.infra.cli.marks import mark
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
    from portalbus.infra.bus.addresses import Addresses
    from portalbus.schemas.directory import AgencyDirectory
    from portalbus.streams.rebuilding.comparing import TableDifference, VerdictChange
    from portalbus.streams.rebuilding.rebuild import Progress, Rebuild

RULES_EXAMPLE = 'an example: agencies = "agencies-2027.csv" and, under [bounds], wait = 86400 (seconds)'


def rebuild(
    agency: Annotated[
        list[str] | None,
        typer.Option("--agency", help="Compare only the rows of this agency; may be given several times."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which verdicts would be others today, and leave it at that.")
    ] = False,
    rules: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: a TOML file with other bounds, or another directory of agencies."),
    ] = None,
    swap: Annotated[bool, typer.Option("--swap", help="Put the rebuilt tables in the place of the live ones.")] = False,
    most: Annotated[int, typer.Option("--rows", min=0, help="So many differing rows of each table are shown.")] = 5,
    json_: Json = False,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    database_url: DatabaseUrl = None,
    home: Home = None,
) -> None:
    """Replay the lanes beside the ledger in use, compare the two row by row, and exchange them on request.

    Intake goes on meanwhile. Differing rows are named; of free text only fingerprints are shown.

    \b
      portalbus rebuild                                does the ledger hold what the lanes say?
      portalbus rebuild --swap                         … and if not, make it so, in one transaction
      portalbus rebuild --dry-run --rules new.toml     which verdicts would change under other rules?

    Exit status 0 when nothing differs, 1 when something does, exchanged or not.
    """
    if swap and (dry_run or agency):
        raise Ended(USAGE, "--swap exchanges the whole ledger: give it without --dry-run and --agency")
    if rules is not None and not dry_run:
        raise Ended(USAGE, "--rules shows what would change: give it together with --dry-run")
    quiet_logs()
    names = agency_codes(agency or [])
    wanted = _read_rules(rules)
    let_sigterm_interrupt()  # the shadow is dropped then, too
    needed = ("bootstrap", "registry_url", "database_url")
    where = addresses(home, needed, bootstrap=bootstrap, registry_url=registry_url, database_url=database_url)
    with _rebuilding(where, wanted, reread=dry_run) as rebuilding:
        replayed = _replay(rebuilding)
        if dry_run:
            differs = _tell_verdicts(rebuilding, names, most, replayed, json_)
        else:
            differs = _tell_rows(rebuilding, names, most, replayed, json_, swap)
    if differs:
        raise Ended(NO)


@dataclass(frozen=True)
class Rules:
    """Rules that differ from those in use."""

    bounds: dict[str, Any]
    directory: AgencyDirectory


@dataclass(frozen=True)
class Replayed:
    """How much was replayed, and how fast."""

    records: int
    seconds: float
    versions: list[str]

    def __str__(self) -> str:
        rate = self.records / self.seconds if self.seconds else 0
        return f"{self.records} records replayed in {self.seconds:.1f} s ({rate:.0f} a second)"


@contextmanager
def _rebuilding(where: Addresses, rules: Rules, *, reread: bool) -> Iterator[Rebuild]:
    """A rebuild, with what can go wrong in it said in a sentence."""
    from portalbus.schemas.registration import SchemaIds
    from portalbus.schemas.registry import SchemaRegistry
    from portalbus.streams.rebuilding.exchanging import OtherWay, TablesHeld
    from portalbus.streams.rebuilding.lane_reader import LaneIncomplete, LaneReader
    from portalbus.streams.rebuilding.rebuild import Rebuild
    from portalbus.streams.rebuilding.replaying import StepsMissing
    from portalbus.streams.rebuilding.shadow import RebuildRunning

    writers = SchemaIds(SchemaRegistry(where.registry_url)).lane_writers()
    try:
        with (
            LaneReader(where.bootstrap) as lanes,
            Rebuild(
                where.database_url, lanes, writers, rules.directory, bounds=rules.bounds, reread=reread
            ) as rebuilding,
        ):
            yield rebuilding
    except (RebuildRunning, TablesHeld) as error:
        raise Ended(UNREACHABLE, str(error)) from error
    except (LaneIncomplete, OtherWay, StepsMissing) as error:
        raise Ended(NO, str(error)) from error


def _read_rules(file: Path | None) -> Rules:
    from portalbus.schemas.directory import AgencyDirectory, directory
    from portalbus.streams.ledger.steps import read_bounds

    if file is None:
        return Rules({}, directory())
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        given = said.pop("bounds", {})
        bounds = {name: getattr(read_bounds(given), name) for name in given}
        agencies = said.pop("agencies", None)
        found = AgencyDirectory.read(file.parent / agencies) if agencies else directory()
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise Ended(USAGE, f"{file} cannot be read as rules ({error}); {RULES_EXAMPLE}") from error
    if said:
        raise Ended(USAGE, f"{file} says {', '.join(said)}, which is no rule that can be changed; {RULES_EXAMPLE}")
    return Rules(bounds, found)


def _replay(rebuilding: Rebuild) -> Replayed:
    start = time.monotonic()
    with _progress() as progress:
        records = rebuilding.run(progress)
    return Replayed(records, time.monotonic() - start, sorted(rebuilding.replay.versions))


@contextmanager
def _progress() -> Iterator[Progress]:
    from portalbus.infra.stack import RichBars, for_terminal

    name = "replaying the lanes"
    bars = for_terminal()

    def tell(done: int, total: int) -> None:
        bars.update(name, done, total, "records")

    with bars if isinstance(bars, RichBars) else nullcontext():
        bars.step(name)
        yield tell
        bars.done(name)


def _tell_rows(
    rebuilding: Rebuild, names: Sequence[str], most: int, replayed: Replayed, json_: bool, swap: bool
) -> bool:
    from portalbus.streams.rebuilding.comparing import compare

    with rebuilding.one_moment() as looking:
        found = compare(looking, names, most)
    differing = sum(table.rows for table in found)
    if not json_:
        _print_tables(found, replayed)
    if swap:
        rebuilding.exchange()
    if json_:
        said = {**asdict(replayed), "rows": differing, "exchanged": swap, "tables": [asdict(table) for table in found]}
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    elif swap:
        console().print(mark(True), "the rebuilt tables are in use")
    elif differing:
        console().print("    → `portalbus rebuild --swap` puts what the lanes say in its place")
    return differing > 0


def _print_tables(found: Sequence[TableDifference], replayed: Replayed) -> None:
    from rich.table import Table

    out = console()
    out.print(str(replayed))
    table = Table("table", "in use", "rebuilt", "missing", "added", "altered", box=None, header_style="bold")
    for line in found:
        style = "red" if line.rows else ""
        counts = (line.live, line.rebuilt, line.missing or "", line.added or "", line.altered or "")
        table.add_row(line.table, *map(str, counts), style=style)
    out.print(table)
    for line in found:
        for row in line.first:
            named = " ".join(f"{name}={value}" for name, value in row.key.items())
            out.print(f"{line.table} {named}: {row.kind}", style="red")
            for name, value in (row.live or {}).items() if row.rebuilt is not None else ():
                out.print(f"    {name}: {value} → {(row.rebuilt or {})[name]}")
        if line.rows > len(line.first):
            out.print(f"    … {line.rows - len(line.first)} more in {line.table}")
    differing = sum(line.rows for line in found)
    if differing:
        out.print(mark(False), f"{differing} rows are not what the lanes say (in use → rebuilt)")
    else:
        out.print(mark(True), "the ledger is what the lanes say: 0 rows differ")


def _tell_verdicts(rebuilding: Rebuild, names: Sequence[str], most: int, replayed: Replayed, json_: bool) -> bool:
    from portalbus.streams.rebuilding.comparing import verdict_changes

    with rebuilding.one_moment() as looking:
        counts, first = verdict_changes(looking, names, most)
    if json_:
        changes = [{"rule": before, "new_rule": after, "records": count} for (before, after), count in counts.items()]
        said = {**asdict(replayed), "changes": changes, "first": [asdict(change) for change in first]}
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        _print_verdicts(counts, first, replayed)
    return bool(counts)


def _print_verdicts(counts: dict[tuple[str, str], int], first: Sequence[VerdictChange], replayed: Replayed) -> None:
    from rich.table import Table

    out = console()
    out.print(str(replayed))
    if not counts:
        out.print(mark(True), "every verdict would be the same")
        return
    table = Table("records", "verdict then", "verdict now", box=None, header_style="bold")
    for (before, after), count in counts.items():
        table.add_row(str(count), before, after)
    out.print(table)
    for change in first:
        what = f"{change.agency}@{change.lane_offset} {change.event_type or 'unreadable'} {change.key or ''}"
        out.print(f"{what.rstrip()}: {change.status} {change.rule} → {change.new_status} {change.new_rule}")
    out.print(mark(False), f"{sum(counts.values())} verdicts would be others; nothing was changed")
