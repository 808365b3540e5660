"""XML from strangers: what a document declares about entities is not believed, and not read."""

from __future__ import annotations

import re

from portalbus.connectors.pull.kind import ReadFailed

DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>", re.IGNORECASE)
ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
STEPS = 100


def guarded(text: str, place: str) -> str:
    """The text without its XML declaration (it is no longer in that encoding).

    Raises ReadFailed when the document declares entities of its own: a few lines can unfold into gigabytes, or name
    files of this machine, and no feed needs them.
    """
    if ENTITY.search(_prolog(text)):
        raise ReadFailed(
            place,
            "the document declares entities (<!ENTITY …>), which may unfold without end; it was not read",
            "Write the characters themselves",
        )
    return DECLARATION.sub("", text, count=1)


def _prolog(text: str) -> str:
    """Everything before the first element, without comments."""
    found, at = "", 0
    for _ in range(STEPS):
        start = text.find("<", at)
        if start < 0:
            return found
        if text.startswith("<!--", start):
            at = _after(text, "-->", start)
        elif text.startswith("<?", start):
            at = _after(text, "?>", start)
        elif text.startswith("<!", start):
            end = _after(text, ">", start)
            bracket = text.find("[", start, end)
            end = _after(text, "]", start) if bracket >= 0 else end
            found += text[start:end]
            at = end
        else:
            return found
    return text  # nothing honest begins with a hundred comments


def _after(text: str, end: str, start: int) -> int:
    found = text.find(end, start)
    return len(text) if found < 0 else found + len(end)
