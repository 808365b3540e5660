"""The local stack: real Kafka, schema registry and PostgreSQL on one machine, without containers.

with Stack(home, progress=Lines()) as stack:
    print(stack.endpoints)
"""

from portalbus.infra.stack.endpoints import Endpoints
from portalbus.infra.stack.errors import AlreadyRunning, StackError
from portalbus.infra.stack.interrupts import orderly_end
from portalbus.infra.stack.owner import spawn_detached, wait_until_up
from portalbus.infra.stack.paths import default_cache, default_home
from portalbus.infra.stack.progress import Lines, Progress, Quiet, RichBars, for_terminal
from portalbus.infra.stack.stack import Stack
from portalbus.infra.stack.status import ServiceStatus, StackStatus

__all__ = [
    "AlreadyRunning",
    "Endpoints",
    "Lines",
    "Progress",
    "Quiet",
    "RichBars",
    "ServiceStatus",
    "Stack",
    "StackError",
    "StackStatus",
    "default_cache",
    "default_home",
    "for_terminal",
    "orderly_end",
    "spawn_detached",
    "wait_until_up",
]
