"""The languages of the pages."""

from __future__ import annotations

OWN_NAMES = {"vi": "Tiếng Việt", "en": "English", "zh": "中文"}
DOCUMENT_LANGUAGES = ("vi", "en", "zh", "ja")
"""Offered as a filter; an address may name any other."""
