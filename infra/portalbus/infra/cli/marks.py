"""What stands out in text for people: ticks, crosses, colours. Words that others wrote are never read as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

STEERING = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\t\n"
}
"""Control characters, among them the one that begins a terminal's commands, and those that turn text round."""


def bare(text: str) -> str:
    """A text whose characters are seen and do nothing else."""
    return text.translate(STEERING)


def styled(text: str, style: str) -> Text:
    """A text in a colour or weight, such as `red` or `bold`."""
    from rich.text import Text

    return Text(bare(text), style)


def mark(well: object) -> Text:
    """A green tick, or a red cross."""
    return styled("✓", "green") if well else styled("✗", "red")


def line(*parts: str | Text) -> Text:
    """Parts put together as they are, without spaces between them."""
    from rich.text import Text

    return Text.assemble(*(bare(part) if isinstance(part, str) else part for part in parts))
