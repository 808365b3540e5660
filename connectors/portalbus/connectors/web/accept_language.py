"""Which of our languages somebody would like."""

from __future__ import annotations

from portalbus.schemas.filled_texts import LANGUAGES

DEFAULT = LANGUAGES[0]
MAX_CHOICES = 20


def preferred(accept_language: str) -> str:
    """The best of our languages for an `Accept-Language` header (RFC 9110 12.5.4); Vietnamese when none fits."""
    choices: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:MAX_CHOICES]:
        tag, _, quality = part.strip().partition(";")
        language = tag.strip().split("-")[0].lower()
        if language == "*":
            language = DEFAULT
        weight = _weight(quality)
        if language in LANGUAGES and weight > 0:
            choices.append((weight, language))
    return max(choices, key=lambda choice: choice[0])[1] if choices else DEFAULT


def _weight(quality: str) -> float:
    name, _, value = quality.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
