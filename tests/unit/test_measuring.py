"""The mapping for measuring platforms: values to the unit, its own names, and what is wrong with a wrong one."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime

import pytest

from measuring_names import NAMES
from portalbus.connectors.measuring.mapping import MappingWrong, Measuring
from portalbus.streams.reading.accountability import Counts, Figures

FIRST, LAST, NOW = date(2026, 11, 1), date(2026, 11, 30), datetime(2026, 12, 1, tzinfo=UTC)
HANOI = Figures(
    {"agency": "H26", "month": "2026-11"},
    Counts(received=7, on_time=4, late=1, open=0, overdue=1, transferred=1, refused=2, ratings=3, satisfaction_sum=13),
    {"DUPLICATE": 2},
)
MAPPING = f"""{NAMES}[[indicator]]
code = "X1"
label = "Trùng"
count = ["refusals.DUPLICATE"]
unit = "vụ"
"""


def test_the_shipped_mapping_reports_counts_and_shares() -> None:
    measuring = Measuring.read()
    rows = measuring.rows([HANOI], FIRST, LAST, NOW)
    values = {row["maChiTieu"]: row["giaTri"] for row in rows}
    assert values["PAKN-01"] == 7
    assert values["PAKN-02"] == 66.67
    assert values["PAKN-04"] == 40
    assert values["PAKN-08"] == 4.33
    assert {row["maDonVi"] for row in rows} == {"H26"}
    assert json.loads(measuring.write(rows)) == rows


def test_what_was_not_measured_is_left_out() -> None:
    nothing = Figures({"agency": "G11", "month": "2026-11"}, Counts(received=1, open=1))
    values = {row["maChiTieu"] for row in Measuring.read().rows([nothing], FIRST, LAST, NOW)}
    assert "PAKN-02" not in values and "PAKN-08" not in values
    assert "PAKN-01" in values


def test_an_installation_writes_its_own_mapping() -> None:
    measuring = Measuring.parse(MAPPING, "own.toml")
    (row,) = csv.DictReader(io.StringIO(measuring.write(measuring.rows([HANOI], FIRST, LAST, NOW))))
    assert (row["unit_code"], row["code"], row["value"]) == ("H26", "X1", "2")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('"refusals.DUPLICATE"', '"speed"'), "speed"),
        (('by = ["agency"]', 'by = ["planet"]'), "planet"),
        (('value = "value"\n', ""), "value"),
        (('format = "csv"', 'format = "xml"'), "xml"),
        (('code = "X1"\n', ""), "code"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(change: tuple[str, str], told: str) -> None:
    with pytest.raises(MappingWrong, match=f"own.toml.*{told}"):
        Measuring.parse(MAPPING.replace(*change), "own.toml")


def test_the_classes_add_up_and_groups_can_be_added() -> None:
    counts = HANOI.counts
    assert counts.answered + counts.open + counts.overdue + counts.transferred == counts.received
    assert (counts + counts).received == 14
    assert Counts().satisfaction is None
