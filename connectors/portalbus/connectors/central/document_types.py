"""Names of the document types in three languages, from the contracts' own table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files


def document_type_name(code: str, language: str) -> str:
    """The name of a document type; its code when the table does not have it."""
    row = _table().get(code)
    return row[f"name_{language}"] if row else code


def document_type_codes() -> tuple[str, ...]:
    """The codes of all document types, in the order of the table."""
    return tuple(_table())


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Mapping[str, str]]:
    text = files("portalbus.schemas").joinpath("data/document_types.csv").read_text(encoding="utf-8")
    return {row["code"]: row for row in csv.DictReader(text.splitlines())}
