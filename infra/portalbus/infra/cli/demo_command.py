"""`portalbus demo`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.bus_commands import open_bus, wait_for_ctrl_c
from portalbus.infra.cli.exits import NO, USAGE, Ended, let_sigterm_interrupt
from portalbus.infra.cli.marks import styled
from portalbus.infra.cli.options import Home, console, home_folder

if TYPE_CHECKING:
    from portalbus.infra.bus import Addresses


def demo(
    portals: Annotated[
        int, typer.Option(help="How many portals take part: the Government Portal, ministries, provinces.")
    ] = 43,
    events: Annotated[int, typer.Option(help="How many events the day has, faulty ones included.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed tells the same day.")] = 1,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 60.0,
    exit_: Annotated[
        bool,
        typer.Option("--exit", help="End after the summary; status 0 only if every event and every field is right."),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the summary as JSON.", show_default=False)] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the central portal. [default: 8090]", show_default=False)
    ] = None,
    any_ports: Annotated[bool, typer.Option(help="Take free ports, not the usual ones.")] = False,
    home: Home = None,
) -> None:
    """Run simulated portals through a compressed working day, over the real bus, and check every event and every field.

    \b
      portalbus demo                                 then look around in the central portal; Ctrl-C ends it
      portalbus demo --exit --report demo.json       for scripts
      portalbus demo --events 10000 --rate 200       a busier day
    """
    from portalbus.infra.demo.run import DemoOptions, check_options

    options = DemoOptions(portals=portals, events=events, seed=seed, rate=rate)
    try:
        check_options(options)
    except ValueError as error:
        raise Ended(USAGE, str(error)) from None
    let_sigterm_interrupt()
    folder = home_folder(home)
    with ExitStack() as closing:
        bus, addresses = None, _running_bus(folder)
        if addresses is None:
            bus = open_bus(folder, port=port, any_ports=any_ports)
            closing.callback(bus.down)
            addresses = bus.addresses
        from portalbus.infra.demo.show import play_and_show

        outcome = play_and_show(options, addresses, folder, console())
        if report is not None:
            report.write_text(json.dumps(outcome.as_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        if not exit_ and bus is not None:
            console().print(
                "\nThe central portal stays up:", styled(addresses.central_url, "bold"), "  (Ctrl-C ends it)"
            )
            wait_for_ctrl_c(bus)
    if not outcome.ok:
        raise Ended(NO, f"{len(outcome.problems)} differences between what was sent and what is there")


def _running_bus(folder: Path) -> Addresses | None:
    from portalbus.infra.bus import bus_status

    found = bus_status(folder)
    if found.running:
        console(stderr=True).print(f"  · the demo uses the bus that is up in {folder}, and leaves it up")
        return found.addresses
    return None
