"""What can be made out of a parked record's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_events import SCHEMA_IDS, envelope, manifest, manifest_value, misshapen_value, receipt, value_of, writers
from portalbus.schemas.models import Event
from portalbus.streams.parking.dissecting import dissect

GOOD = value_of(Event(envelope(1, "H26", 7), receipt()))


def test_a_sound_value_reads_to_its_end() -> None:
    found = dissect(GOOD, writers())
    assert (found.record, found.schema_id, found.problem, found.broke_at) == (
        "FeedbackReceived",
        SCHEMA_IDS["FeedbackReceived"],
        "",
        "",
    )
    assert (found.fields["envelope"]["sequence"], found.fields["case_id"]) == (7, "H26-0001")
    assert dissect(manifest_value(manifest("H26")), writers()).fields["portal"] == "www"


def test_a_value_that_was_cut_short_reads_up_to_the_field_where_it_breaks() -> None:
    cut = GOOD.index("Đèn đường trên".encode()) + 4
    found = dissect(GOOD[:cut], writers())
    assert found.fields["subject"] == "Đèn đường hỏng"
    assert "content" not in found.fields
    assert found.broke_at.startswith("/content, from byte ")
    assert found.problem.endswith("while decoding")


def test_a_value_that_breaks_in_its_envelope_says_so() -> None:
    found = dissect(GOOD[:12], writers())
    assert found.broke_at == "/envelope/id, from byte 5"
    assert found.fields == {"envelope": {}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the value is empty"),
        (b"", "the value is empty"),
        (b"<xml/>", "does not start with byte 0"),
        (b"\x00\x7f\xff\xff\xff\x00", "is not allowed on a lane"),
        (GOOD + b"\r\n", "2 bytes after the end"),
        (b"\x00" * 300_000, "300000 bytes, at most"),
    ],
)
def test_what_is_wrong_with_the_frame_is_named(value: bytes | None, problem: str) -> None:
    assert problem in dissect(value, writers()).problem


def test_an_envelope_that_breaks_the_contract_is_shown_and_named() -> None:
    head = envelope(1, "H26", 7).model_copy(update={"portal": "Not A Portal"})
    found = dissect(misshapen_value(head, receipt()), writers())
    assert found.fields["envelope"]["portal"] == "Not A Portal"
    assert "/portal" in found.problem


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 255))
def test_no_bytes_make_it_fail(tail: bytes, cut: int, flipped: int) -> None:
    dissect(tail, writers())
    dissect(GOOD[:cut] + tail, writers())
    dissect(GOOD[:cut] + bytes([flipped]) + GOOD[cut + 1 :], writers())
