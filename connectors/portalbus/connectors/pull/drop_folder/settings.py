"""What a drop folder needs to be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from portalbus.connectors.pull.config import MIB, Seconds
from portalbus.connectors.pull.rows.settings import RowsConfig


class DropFolderConfig(RowsConfig):
    """Settings of a drop folder.

    `address` is the folder. A file is read once nobody has written to it for `settle`. `encoding`, `delimiter` and
    `sheet` are found out unless given. `complete` says that each file lists everything that stands: what the newest
    one does not list any more counts as missing. A file may have `max_bytes`, unpacked `max_unpacked_bytes`, at most
    `max_items` rows, and take `longest` to read.
    """

    every: Annotated[Seconds, Field(ge=1)] = 30.0
    settle: Annotated[Seconds, Field(ge=0, le=86_400)] = 10.0
    encoding: Literal["auto", "utf-8", "utf-16", "windows-1258", "tcvn3"] = "auto"
    delimiter: Annotated[str, Field(max_length=1)] = ""
    sheet: str = ""
    complete: bool = False
    max_bytes: Annotated[int, Field(ge=1)] = 512 * MIB
    max_unpacked_bytes: Annotated[int, Field(ge=1)] = 1_024 * MIB
    max_items: Annotated[int, Field(ge=1, le=1_000_000)] = 200_000
    longest: Annotated[Seconds, Field(ge=1, le=86_400)] = 3_600.0
