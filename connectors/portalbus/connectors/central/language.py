"""The languages of the pages."""

from __future__ import annotations

DOCUMENT_LANGUAGES = ("vi", "en", "zh", "ja")
"""Offered as a filter; an address may name any other."""
