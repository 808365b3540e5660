"""Secrets that a configuration names without holding them."""

from __future__ import annotations

import os
from pathlib import Path

from portalbus.connectors.pull.kind import ReadFailed

ENV, FILE = "env:", "file:"


def secret(text: str) -> str:
    """What `env:NAME` or `file:/path` stands for; any other text as it is. Raises ReadFailed when it is not there."""
    if text.startswith(ENV):
        found = os.environ.get(text.removeprefix(ENV))
        if not found:
            raise ReadFailed(text, "this environment variable is not set", "Set it for the process that connects")
        return found
    if text.startswith(FILE):
        try:
            return Path(text.removeprefix(FILE)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ReadFailed(text, f"this file cannot be read ({type(error).__name__})", "Check its path") from None
    return text
