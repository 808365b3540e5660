"""Which ports the services listen on: the ones of last time, else the usual ones, else free ones."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from portalbus.infra.stack.endpoints import write_private
from portalbus.infra.stack.errors import StackError

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel takes the ports of outgoing connections (32768 and up): a client that
# reconnects to a stopped service there can be given the service's own port, and then talks to itself.
SPARE = range(20_000, 30_000)


@dataclass(frozen=True)
class Ports:
    """The ports of one stack, all on the loopback address."""

    kafka: int = 9092
    kafka_controller: int = 9093
    registry: int = 8081
    registry_management: int = 9008
    postgres: int = 5432


USUAL = Ports()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def remembered(path: Path) -> Ports | None:
    """Return the ports of the last start, or None when they are not known."""
    try:
        return Ports(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remember(path: Path, ports: Ports) -> None:
    write_private(path, json.dumps(asdict(ports)) + "\n")


def choose(
    last: Ports | None,
    note: Callable[[str], None],
    *,
    usual: Ports | None = USUAL,
    spare: Iterable[int] | None = None,
    free: Callable[[int], bool] = is_free,
) -> Ports:
    """Choose a free port for each service, and tell `note` about each usual port that is taken.

    `usual=None` takes spare ports from the start. Raises StackError when no candidate is free.
    """
    candidates = iter(spare if spare is not None else random.sample(SPARE, 200))
    chosen: dict[str, int] = {}

    def usable(port: int) -> bool:
        return port not in chosen.values() and free(port)

    for name in asdict(USUAL):
        title = name.replace("_", " ")
        wanted = [getattr(ports, name) for ports in (last, usual) if ports is not None]
        port = next((port for port in wanted if usable(port)), None)
        if port is None:
            port = next((port for port in candidates if usable(port)), None)
            if port is None:
                raise StackError(
                    f"no port is free for {title}, not {wanted}, none of {SPARE.start} to {SPARE.stop - 1}",
                    "end the programs that hold them, then start again",
                )
            if wanted:
                note(f"port {wanted[0]} is taken, so {title} listens on {port}")
        chosen[name] = port
    return Ports(**chosen)
