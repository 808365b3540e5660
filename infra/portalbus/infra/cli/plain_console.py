"""A console for text of which others wrote a part: portals, citizens, colleagues."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from portalbus.infra.cli.marks import bare


class PlainConsole(Console):
    """Prints what it is given, character by character: brackets are no markup, and `:x:` is no picture.

    What is to have a colour says so by itself (`marks`). Nothing steers the terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Like Console.render_str: rich asks it for every string, also in tables and trees."""
        return super().render_str(bare(text), **how)
