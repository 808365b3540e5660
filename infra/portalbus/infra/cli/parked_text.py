"""Parked records as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from portalbus.infra.cli.options import console

if TYPE_CHECKING:
    from portalbus.streams.parking.asking import KeptRecord
    from portalbus.streams.parking.dissecting import Dissection

SHOWN_BYTES = 512


def print_groups(groups: Sequence[Any]) -> None:
    from rich.table import Table

    table = Table(
        "reason", "state", "records", "first", "last", "agencies", "waiting behind", box=None, header_style="bold"
    )
    for group in groups:
        agencies = ", ".join(group.agencies[:8]) + (
            f" and {more} more" if (more := len(group.agencies) - 8) > 0 else ""
        )
        table.add_row(
            group.reason,
            group.state,
            str(group.records),
            time_of(group.first_at),
            time_of(group.last_at),
            agencies,
            str(group.held_behind or ""),
        )
    console().print(table)


def print_lines(lines: Sequence[Any]) -> None:
    from rich.table import Table

    table = Table("record", "reason", "came", "bytes", "key", "portal", "state", box=None, header_style="bold")
    for line in lines:
        decided = f"{line.state} by {line.decided_by}: {line.decided_why}" if line.decided_by else line.state
        table.add_row(
            f"{line.agency}@{line.lane_offset}",
            line.reason,
            time_of(line.received_at),
            "–" if line.bytes is None else str(line.bytes),
            line.key or "",
            line.portal or "",
            decided,
        )
    console().print(table)


def print_record(kept: KeptRecord, fields: dict[str, Any], dissection: Dissection | None) -> None:
    def say(text: str) -> None:
        console().print(text)

    say(f"lane.{kept.agency}@{kept.lane_offset}, came {time_of(kept.received_at)}, {kept.state}")
    say(f"why      [{kept.reason}] {fields['message']} ({kept.detail})")
    say(f"verdict  {kept.status} [{kept.rule}]{'' if kept.final else ', not final'}")
    say(f"key      {fields['record_key'] if kept.record_key else 'none'}")
    for name, value in fields["headers"]:
        say(f"header   {name}: {value}")
    if kept.key is not None and kept.state == "parked":
        until = f" until {time_of(kept.holds_until)}" if kept.holds_until else ", which holds nothing any more"
        say(f"holds    {kept.key}{until}; {len(fields['waiting_behind'])} events wait behind it")
    if dissection is not None:
        say(f"schema   {dissection.schema_id if dissection.schema_id is not None else '–'} {dissection.record or ''}")
        if dissection.problem:
            say(f"breaks   {dissection.problem}{' at ' + dissection.broke_at if dissection.broke_at else ''}")
        else:
            say("reads    to its end: `portalbus parked redrive` would judge it")
        for name, value in dissection.fields.items():
            say(f"  {name} = {json.dumps(plain(value), ensure_ascii=False, default=str)[:400]}")
    say(f"value    {fields['bytes']} bytes")
    for line in _hex_lines((kept.value or b"")[:SHOWN_BYTES]):
        say(f"  {line}")
    if fields["bytes"] > SHOWN_BYTES:
        say(f"  … {fields['bytes'] - SHOWN_BYTES} more: --raw FILE writes them all")
    for decision in fields["decisions"]:
        say(
            f"decided  {time_of(decision['decided_at'])} {decision['action']} by {decision['decided_by']}:"
            f" {decision['decided_why']} → {decision['outcome']}"
        )


def _hex_lines(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), 16):
        row = value[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {shown}"


def text_of(value: bytes | None) -> str | None:
    """Bytes for people: as text where they are printable, else in hex."""
    if value is None:
        return None
    text = value.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else "0x" + value.hex()


def time_of(value: datetime) -> str:
    return value.astimezone().isoformat(sep=" ", timespec="seconds")


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value
