"""Which columns hold what: the names that Vietnamese offices use, and columns found by name however it is written."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from portalbus.connectors.pull.mapping import FieldRule
from portalbus.schemas.search_text import fold

KEY = ("id", "ma", "ma_so")
CLASSIFICATIONS = {
    "": "PUBLIC",
    "Thường": "PUBLIC",
    "Không": "PUBLIC",
    "Mật": "CONFIDENTIAL",
    "Tối mật": "SECRET",
    "Tuyệt mật": "TOP_SECRET",
}
PLACES_IN_TEMPLATE = re.compile(r"\{([^{}]+)\}")


def document_type_codes() -> dict[str, str]:
    """The codes of document types by their Vietnamese names, as printed, in capitals and in small letters."""
    text = files("portalbus.schemas").joinpath("data/document_types.csv").read_text(encoding="utf-8")
    names = {row["name_vi"]: row["code"] for row in csv.DictReader(text.splitlines())}
    for name, code in tuple(names.items()):
        names.setdefault(name.partition("(")[0].strip(), code)
    return {spelt: code for name, code in names.items() for spelt in (name, name.upper(), name.lower())}


DIRECTIVE_RULES: Mapping[str, Any] = {
    "number": ["number", "so_ky_hieu", "so_hieu"],
    "document_type": {"from": ["document_type", "loai_van_ban", "loai"], "values": document_type_codes()},
    "title": ["title", "tieu_de", "trich_yeu"],
    "abstract": ["abstract", "tom_tat"],
    "body": ["body", "noi_dung", "toan_van"],
    "body_format": {"from": "body_format", "default": "TEXT"},
    "language": {"from": ["language", "ngon_ngu"], "default": "vi"},
    "field": ["field", "linh_vuc"],
    "issued_on": ["issued_on", "ngay_ban_hanh"],
    "effective_on": ["effective_on", "ngay_hieu_luc"],
    "expires_on": ["expires_on", "ngay_het_hieu_luc"],
    "signer": ["signer", "nguoi_ky"],
    "classification": {"from": ["classification", "do_mat"], "values": CLASSIFICATIONS, "default": "PUBLIC"},
    "recipients": {"from": ["recipients", "noi_nhan"], "separator": ";"},
    "canonical_url": ["canonical_url", "url", "link", "duong_dan"],
}
FEEDBACK_RULES: Mapping[str, Any] = {
    "regime": ["regime", "che_do"],
    "category": {"from": ["category", "loai_noi_dung"], "default": 6},
    "channel": {"from": ["channel", "kenh"], "default": "OTHER"},
    "received_at": ["received_at", "ngay_tiep_nhan", "ngay_nhan"],
    "addressed_to": ["addressed_to", "co_quan_xu_ly"],
    "field": ["field", "linh_vuc"],
    "subject": ["subject", "tieu_de"],
    "content": ["content", "noi_dung"],
    "language": {"from": ["language", "ngon_ngu"], "default": "vi"},
    "outcome": ["outcome", "ket_qua"],
    "reason_code": ["reason_code", "ma_ly_do"],
    "reason_text": ["reason_text", "ly_do"],
    "competent_agency": ["competent_agency", "co_quan_tham_quyen"],
    "answer": ["answer", "tra_loi"],
    "answered_at": ["answered_at", "ngay_tra_loi"],
}


class Columns:
    """The columns of one table; a name is found with or without accents, capitals and underscores."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._places: dict[str, int] = {}
        for place, name in enumerate(self.names):
            self._places.setdefault(fold(name), place)
        self._places |= {name: place for place, name in reversed(list(enumerate(self.names)))}

    def find(self, name: str) -> int | None:
        """Where the column stands, from 0; None when there is none. Its exact name counts before any other."""
        found = self._places.get(name)
        return self._places.get(fold(name)) if found is None else found

    def absent(self, name: str) -> str:
        """What to say of a column that is not there."""
        near = difflib.get_close_matches(fold(name), [fold(there) for there in self.names], 1)
        meant = next((there for there in self.names if near and fold(there) == near[0]), "")
        there = ", ".join(self.names[:40])
        return f"there is no column {name}" + (f" (did you mean {meant}?)" if meant else "") + f"; there are: {there}"


def places_of(rule: FieldRule) -> tuple[str, ...]:
    """The columns that a rule looks at."""
    return (*rule.sources, *PLACES_IN_TEMPLATE.findall(rule.template))


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that is there twice (as names are found), None when all differ."""
    seen: set[str] = set()
    for name in names:
        folded = fold(name) or name
        if folded in seen:
            return name
        seen.add(folded)
    return None
