"""`portalbus up`, `down` and `status`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalbus.infra.cli.exits import NO, UNREACHABLE, Ended, let_sigterm_interrupt
from portalbus.infra.cli.options import Home, Json, console, home_folder

if TYPE_CHECKING:
    from portalbus.infra.bus import Addresses, Bus, BusStatus

MEGABYTE = 1024 * 1024
START_PATIENCE_S = 900.0
LOOK_EVERY_S = 0.5


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is up; it goes on in the background.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Number of worker processes.")] = 1,
    port: Annotated[
        int | None, typer.Option(help="Port of the central portal. [default: 8090]", show_default=False)
    ] = None,
    gateway_port: Annotated[
        int | None, typer.Option(help="Port of the HTTP gateway. [default: 8091]", show_default=False)
    ] = None,
    any_ports: Annotated[bool, typer.Option(help="Take free ports, not the usual ones.")] = False,
    home: Home = None,
) -> None:
    """Bring up the whole bus on this machine: the stack, worker, relay, central portal, webhooks and HTTP gateway.

    \b
      portalbus up                 in the foreground; Ctrl-C takes everything down
      portalbus up --detach        in the background; `portalbus down` ends it
    """
    folder = home_folder(home)
    if detach:
        _up_in_background(folder, workers, port, gateway_port, any_ports)
        return
    let_sigterm_interrupt()
    bus = open_bus(folder, workers=workers, port=port, gateway_port=gateway_port, any_ports=any_ports)
    try:
        _print_addresses(bus.addresses)
        console().print("Ctrl-C takes everything down.")
        wait_for_ctrl_c(bus)
    finally:
        bus.down()


def down(home: Home = None) -> None:
    """Take the bus down, wherever it was started; its data stay."""
    from portalbus.infra.bus import bus_status
    from portalbus.infra.bus.processes import sweep
    from portalbus.infra.stack import Stack

    folder = home_folder(home)
    stack = Stack(folder)
    was_up = bus_status(folder).owner is not None
    stack.down()
    sweep(stack.state)
    console().print("the bus is down" if was_up else f"no bus was running in {folder}")


def status(
    json_: Json = False,
    env: Annotated[
        bool, typer.Option("--env", help="Print the settings of a portal on this bus, for `eval` in a shell.")
    ] = False,
    home: Home = None,
) -> None:
    """Tell what is running, where, and in how much memory. Exit status 3 when the bus is not up.

    \b
      eval "$(portalbus status --env)"      then Portal.from_env() finds this bus
    """
    from portalbus.infra.bus import bus_status

    found = bus_status(home_folder(home))
    if env:
        _print_environment(found)
    elif json_:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _print_status(found)
    if not found.running:
        raise Ended(UNREACHABLE, "" if json_ and not env else "the bus is not up: start it with `portalbus up`")


def open_bus(
    folder: Path,
    *,
    workers: int = 1,
    port: int | None = None,
    gateway_port: int | None = None,
    any_ports: bool = False,
) -> Bus:
    """The bus of a state folder, up, with its start shown on standard error."""
    from portalbus.infra.bus import Bus
    from portalbus.infra.stack import RichBars, for_terminal
    from portalbus.infra.stack.ports import USUAL

    progress = for_terminal()
    bus = Bus(
        folder,
        progress=progress,
        workers=workers,
        web_port=port,
        gateway_port=gateway_port,
        usual_ports=None if any_ports else USUAL,
    )
    with progress if isinstance(progress, RichBars) else nullcontext():
        bus.up()
    return bus


def wait_for_ctrl_c(bus: Bus | None = None) -> None:
    """Wait until somebody ends it; raises Ended when a part of the bus has been given up."""
    try:
        while True:
            time.sleep(LOOK_EVERY_S)
            if bus is not None and (failed := bus.failed()):
                logs = ", ".join(str(bus.state.logs / f"{name}.log") for name in failed)
                raise Ended(NO, f"{', '.join(failed)} ended again and again: read {logs}")
    except KeyboardInterrupt:
        console(stderr=True).print("taking everything down …")


def _up_in_background(folder: Path, workers: int, port: int | None, gateway_port: int | None, any_ports: bool) -> None:
    from portalbus.infra.bus.addresses import read_bus_file
    from portalbus.infra.stack import spawn_detached
    from portalbus.infra.stack.paths import StateFolder

    state = StateFolder.at(folder)
    argv = [sys.executable, "-m", "portalbus.infra.cli", "up", "--home", str(folder), "--workers", str(workers)]
    argv += ["--port", str(port)] if port else []
    argv += ["--gateway-port", str(gateway_port)] if gateway_port else []
    argv += ["--any-ports"] if any_ports else []
    pid = spawn_detached(folder, argv)
    log = state.logs / "supervisor.log"
    shown, deadline = 0, time.monotonic() + START_PATIENCE_S
    while not read_bus_file(state):
        shown = _show_new_lines(log, shown)
        if not _is_alive(pid) or time.monotonic() > deadline:
            _show_new_lines(log, shown)
            raise Ended(UNREACHABLE, f"the bus did not come up: read {log}")
        time.sleep(0.1)
    _show_new_lines(log, shown)
    console().print(f"the bus is up: {read_bus_file(state).get('central_url')}; end it with `portalbus down`")


def _show_new_lines(log: Path, shown: int) -> int:
    text = log.read_text(errors="replace") if log.exists() else ""
    end = text.rfind("\n") + 1
    if end > shown:
        sys.stderr.write(text[shown:end])
        sys.stderr.flush()
    return max(end, shown)


def _is_alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _print_status(found: BusStatus) -> None:
    from rich.table import Table

    table = Table("part", "process", "memory (MB)", "restarts", box=None, header_style="bold")
    for process in found.processes:
        state = str(process.pid) if process.pid else "given up" if process.failed else "not running"
        memory = f"{process.resident / MEGABYTE:.0f}" if process.pid else ""
        table.add_row(process.name, state, memory, str(process.restarts or ""))
    out = console()
    out.print(table)
    if any(process.parking_stopped for process in found.processes):
        out.print("a worker has stopped: too much could not be read. `portalbus doctor` says how to go on")
    if found.running:
        out.print(f"{found.resident / MEGABYTE:.0f} MB resident in all, since {found.started_at}")
        _print_addresses(found.addresses)


def _print_environment(found: BusStatus) -> None:
    settings = {
        "PORTALBUS_BOOTSTRAP": found.addresses.bootstrap,
        "PORTALBUS_REGISTRY": found.addresses.registry_url,
        "PORTALBUS_OUTBOX": str(found.home / "outbox"),
        "PORTALBUS_CENTRAL": found.addresses.central_url,
        "PORTALBUS_GATEWAY": found.addresses.gateway_url,
    }
    for name, value in settings.items() if found.running else ():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _print_addresses(addresses: Addresses) -> None:
    out = console()
    out.print(f"central portal   {addresses.central_url}")
    out.print(f"HTTP gateway     {addresses.gateway_url}")
    out.print(f"Kafka            {addresses.bootstrap}")
    out.print(f"schema registry  {addresses.registry_url}")
