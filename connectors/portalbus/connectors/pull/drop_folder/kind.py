"""The kind `files`: every row of every file in a folder is one item; read files leave the folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from portalbus.connectors.pull.drop_folder.file_reading import FileReading
from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.drop_folder.waiting import Waiting, look_at
from portalbus.connectors.pull.found import Before, Listing, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadFailed, ReadOnlySource, Surroundings

if TYPE_CHECKING:
    from portalbus.connectors.pull.comparing import Outcome


class DropFolder(ReadOnlySource):
    """A folder; one file at a time is read, and filed when everything in it is remembered."""

    def __init__(self, config: DropFolderConfig, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock
        self._waiting: list[Waiting] | None = None
        self._current: FileReading | None = None

    def read(self, before: Before) -> Reading:
        """The next rows of the oldest file; see `Source`."""
        remarks: tuple[Remark, ...] = ()
        if self._waiting is None:
            look = look_at(self._config, self._clock())
            self._waiting, remarks = list(look.ready), look.remarks
        if self._current is not None and self._current.ended:
            self._current.close()  # nobody files it: this is only a look
            self._current = None
        if self._current is None:
            if not self._waiting:
                return Reading((), Listing.UNCHANGED, cursor=before.cursor, remarks=remarks)
            self._current = FileReading(self._config, self._waiting.pop(0))
        current = self._current
        items = current.take()
        ended = current.ended
        return Reading(
            items,
            Listing.COMPLETE if ended and self._config.complete and not current.refused else Listing.WINDOW,
            frozenset(current.ids) if ended and self._config.complete else None,
            before.cursor,
            (*remarks, *current.remarks.take()),
            more=not ended or bool(self._waiting),
        )

    def settled(self, reading: Reading, outcome: Outcome) -> None:
        """Writes into the report what became of the rows, and files the file after its last ones. Raises ReadFailed."""
        current = self._current
        if current is None:
            return
        current.note(reading, outcome)
        if not current.ended:
            return
        try:
            current.file(self._clock())
        except OSError as error:
            mend = "Let this user write to the folder, and to done/ and refused/ in it"
            raise ReadFailed(current.place, f"it was read, but cannot be moved ({error.strerror})", mend) from None
        finally:
            current.close()
            self._current = None

    def close(self) -> None:
        """Leaves the file that was not finished where it is."""
        if self._current is not None:
            self._current.close()


def open_folder(config: DropFolderConfig, surroundings: Surroundings) -> DropFolder:
    """A folder that was not looked at yet."""
    return DropFolder(config, surroundings.clock)


DROP_FOLDER = Kind("files", DropFolderConfig, open_folder, {})
