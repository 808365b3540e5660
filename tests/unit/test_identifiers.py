"""Ids sort by the time they were made and cannot be guessed."""

from __future__ import annotations

import random
import time
import uuid

import pytest

from portalbus.schemas import example_files
from portalbus.schemas.identifiers import CROCKFORD, PUBLIC_CODE_LENGTH, is_guessable, new_event_id, new_public_code
from portalbus.schemas.models import Envelope, FeedbackReceived


def test_an_event_id_is_a_uuid_of_version_7() -> None:
    for _ in range(500):
        parsed = uuid.UUID(new_event_id())
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


def test_an_event_id_holds_the_milliseconds_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_event_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_of_later_milliseconds_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_763_000_000_000_000_000, 1_763_000_000_000_000_000 + 500_000_000, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [new_event_id() for _ in range(500)]
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_763_000_000_000_000_000)
    assert len({new_event_id() for _ in range(20_000)}) == 20_000


def test_every_random_bit_of_an_event_id_is_used() -> None:
    ones = zeros = 0
    for _ in range(400):
        value = uuid.UUID(new_event_id()).int
        ones |= value
        zeros |= ~value
    random_bits = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    assert ones & random_bits == random_bits
    assert zeros & random_bits == random_bits


def test_a_public_code_is_twelve_characters_that_nobody_mixes_up() -> None:
    assert len(CROCKFORD) == 32 and not set("ILOU") & set(CROCKFORD)
    made = [new_public_code() for _ in range(2_000)]
    assert {len(code) for code in made} == {PUBLIC_CODE_LENGTH}
    assert {character for code in made for character in code} == set(CROCKFORD)
    assert len(set(made)) == len(made)


def test_new_ids_are_what_the_contracts_take() -> None:
    example = next(item for item in example_files.valid() if item.record == "FeedbackReceived")
    made = {"id": new_event_id(), "public_code": new_public_code()}
    assert Envelope.model_validate({**example.document["envelope"], "id": made["id"]}).id == made["id"]
    received = FeedbackReceived.model_validate({**example.document["payload"], "public_code": made["public_code"]})
    assert received.public_code == made["public_code"]


@pytest.mark.parametrize(
    "code",
    ["000000000001", "000000004217", "202611300042", "AAAABBBBCCCC", "H26000000Z1K", "4567890ABCDE", "ZYXWVTSRQPNM"],
)
def test_a_code_of_a_counter_a_date_or_a_hand_is_guessable(code: str) -> None:
    assert is_guessable(code)


def test_a_code_drawn_by_chance_is_not_guessable() -> None:
    drawn = random.Random(7)
    codes = ["".join(drawn.choices(CROCKFORD, k=PUBLIC_CODE_LENGTH)) for _ in range(100_000)]
    assert sum(map(is_guessable, codes)) <= 1
    assert not any(is_guessable(new_public_code()) for _ in range(2_000))
