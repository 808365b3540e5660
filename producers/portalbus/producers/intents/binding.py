"""Which outbox a database's intents go to: one, until a person says otherwise.

A second outbox of the same source would give the same sequences to other events. So the folder has a name of its own,
and the database remembers it, with how far that outbox got: a copy from a backup shows before anything leaves it.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.intents.intent_rows import Binding, IntentRows
from portalbus.producers.outbox import Outbox
from portalbus.producers.repair import repair_outbox
from portalbus.producers.source_row import SourceRow
from portalbus.schemas.errors import OutboxDamaged, OutboxUnavailable


class OutboxName:
    """The name of one outbox folder and source, in a file beside the outbox; made when it is first asked for."""

    def __init__(self, outbox: Outbox) -> None:
        self._path = outbox.path.with_suffix(".name")
        self.place = f"{socket.gethostname()}:{outbox.folder.absolute()}"
        self._name = ""

    def __str__(self) -> str:
        if not self._name:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._name = _written(self._path) or _make(self._path)
        return self._name


def check_binding(binding: Binding, name: OutboxName, row: SourceRow) -> None:
    """Raises OutboxUnavailable when the intents go to another outbox, OutboxDamaged when this one is an old copy."""
    if binding.outbox and binding.outbox != str(name):
        raise OutboxUnavailable(
            f"the intents go to the outbox {row.agency}/{row.portal} at {binding.place}, not to {name.place}: run the "
            "relay there. If that outbox is gone for good, stop its relay, and run `take-over` here"
        )
    if (binding.epoch, binding.sequence) > (row.epoch, row.last_sequence):
        raise OutboxDamaged(
            f"the outbox at {name.place} ends at event {row.last_sequence} of epoch {row.epoch}, but the database knows"
            f" event {binding.sequence} of epoch {binding.epoch} from it: it is an old copy. Put the newest one back,"
            " or stop every relay, and run `take-over` here"
        )


def take_over(rows: IntentRows, outbox: Outbox) -> int:
    """Begins a new epoch in this outbox and lets the intents go to it, in a turn; returns the epoch.

    Every relay of the source has to be stopped before. What the other outbox may not have delivered is moved again;
    the centre recognises what it has. Raises OutboxUnavailable while a process delivers this outbox.
    """
    outbox.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    outbox.close()
    known = rows.binding()
    mark = HighWater(outbox.path.with_suffix(".mark"))
    mark.raise_to(Mark(known.epoch, known.sequence))  # so that the repair's epoch is above every one that was used
    mark.close()
    epoch = repair_outbox(outbox.folder, outbox.agency, outbox.portal).epoch
    name = OutboxName(outbox)
    rows.bind(Binding(str(name), name.place, epoch, outbox.source_row().last_sequence))
    rows.move_again(epoch)
    return epoch


def _written(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _make(path: Path) -> str:
    """Whole or not at all: several relays may start at once, and be killed at it."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with part.open("x", encoding="ascii") as file:
        file.write(secrets.token_hex(16))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another process was faster
    finally:
        part.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return _written(path)
