"""The pure half of reconciliation: digests of buckets, rows against events, contents against the list."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_events import NOON, answer, directive, event_id, receipt
from portalbus.schemas.codec import encode_payload
from portalbus.schemas.digest import EMPTY, event_digest, joined
from portalbus.schemas.models import BucketEvent, DirectivePublished, Payload
from portalbus.streams.reconciling.comparing import (
    KnownEvent,
    Row,
    answer_row,
    compare_contents,
    difference_of,
    directive_row,
    receipt_row,
    shown_hash,
)
from portalbus.streams.reconciling.conversing import runs
from portalbus.streams.reconciling.difference import Kind, Place
from portalbus.streams.reconciling.digests import BucketName, Digests, Stated

BUCKET = BucketName("H26", "www", 1, "DirectivePublished", date(2026, 11, 20))
ID = UUID(event_id(1)).bytes
HASH, OTHER = hashlib.sha256(b"one").digest(), hashlib.sha256(b"other").digest()


def known(payload: Payload) -> KnownEvent:
    content_hash = hashlib.sha256(encode_payload(payload)).digest()
    return KnownEvent(
        "H26", "www", 1, payload.event_type, NOON.date(), 7, event_id(1), content_hash, "H26/d-1", 7, NOON, 70
    )


def stating(digest: bytes, explained: bytes | None = None) -> dict[BucketName, Stated]:
    return {BUCKET: Stated(1, digest, 10, explained)}


# ---- digests -------------------------------------------------------------------------------------------------------


def test_what_is_listed_and_shown_as_stated_differs_in_nothing() -> None:
    digest = event_digest(ID, HASH)
    digests = Digests(stating(digest), {BUCKET: digest})
    assert digests.differing() == set()
    assert digests.to_be_narrowed() == {}


@pytest.mark.parametrize("shown", [None, OTHER])
def test_a_row_that_is_gone_or_altered_differs_without_any_question(shown: bytes | None) -> None:
    digest = event_digest(ID, HASH)
    digests = Digests(stating(digest), {BUCKET: digest})
    digests.note(BUCKET, 10, ID, HASH, shown)
    assert digests.differing() == {BUCKET}
    assert digests.to_be_narrowed() == {}, "the ledger's list says which event it is"


def test_a_row_of_an_event_beyond_the_statement_is_not_counted() -> None:
    digests = Digests(stating(EMPTY), {})
    digests.note(BUCKET, 11, ID, HASH, None)
    assert digests.differing() == set()


def test_a_list_that_differs_is_to_be_narrowed_unless_that_was_done() -> None:
    difference = event_digest(ID, HASH)
    assert Digests(stating(difference), {}).to_be_narrowed() == {BUCKET: difference}
    assert Digests(stating(difference, explained=difference), {}).to_be_narrowed() == {}
    assert Digests(stating(difference, explained=OTHER), {}).to_be_narrowed() == {BUCKET: difference}


@given(st.lists(st.tuples(st.uuids(), st.binary(min_size=32, max_size=32)), unique_by=lambda pair: pair[0]))
def test_losing_events_leaves_exactly_their_digest(events: list[tuple[UUID, bytes]]) -> None:
    kept, lost = events[: len(events) // 2], events[len(events) // 2 :]

    def digest(part: list[tuple[UUID, bytes]]) -> bytes:
        found = EMPTY
        for identity, content_hash in part:
            found = joined(found, event_digest(identity.bytes, content_hash))
        return found

    digests = Digests(stating(digest(events)), {BUCKET: digest(kept)})
    assert digests.to_be_narrowed().get(BUCKET, EMPTY) == digest(lost)


# ---- rows ----------------------------------------------------------------------------------------------------------


def version_row(event: KnownEvent, said: DirectivePublished, **columns: object) -> Row:
    found = {
        "document": said.model_dump_json(),
        "lane_offset": 7,
        "received_at": NOON,
        "position": 70,
        "version": "1",
        "said_version": "1",
        "action": "PUBLISH",
        "said_action": "PUBLISH",
    }
    return directive_row(event, found | columns)


def test_a_row_that_says_what_its_event_said_does_not_differ() -> None:
    said = directive(signer="Nguyễn Văn A", recipients=("H26", "G22"), effective_on=date(2026, 12, 1))
    event = known(said)
    assert difference_of(event, Place.VERSION, version_row(event, said)) == (None, event.content_hash)


def test_a_missing_row_and_an_altered_one_are_told_apart() -> None:
    event = known(directive())
    missing, shown = difference_of(event, Place.VERSION, None)
    assert missing is not None
    assert (missing.kind, shown) == (Kind.MISSING, None)
    altered, shown = difference_of(event, Place.VERSION, version_row(event, directive(title="Khác"), position=71))
    assert altered is not None
    assert (altered.kind, altered.columns) == (Kind.ALTERED, ("position", "content"))
    assert shown not in (None, event.content_hash)


def test_a_row_that_is_no_event_at_all_is_altered() -> None:
    event = known(directive())
    difference, shown = difference_of(event, Place.VERSION, version_row(event, directive(), document="{}"))
    assert difference is not None
    assert (difference.columns, shown) == (("content",), bytes(32))


def test_a_case_is_both_its_receipt_and_its_answer() -> None:
    received, answered = receipt(), answer()
    columns = {
        **received.model_dump(exclude={"addressed_to"}),
        "addressed_to": received.addressed_to,
        "owner": received.addressed_to,
        "receiver": "H26",
        "state": "RESOLVED",
        "stage": "ANSWERED",
        "steps": 0,
        "position": 70,
        **answered.model_dump(exclude={"case_id", "language", "public"}),
        "answer_language": answered.language,
        "answer_public": answered.public,
        "answered_by": "H26",
        "answer_heard_at": known(answered).received_at,
    }
    assert difference_of(known(received), Place.CASE, receipt_row(known(received), columns))[0] is None
    assert difference_of(known(answered), Place.ANSWER, answer_row(known(answered), columns))[0] is None
    columns["answer"] = "Khác"
    assert difference_of(known(received), Place.CASE, receipt_row(known(received), columns))[0] is None
    altered, _ = difference_of(known(answered), Place.ANSWER, answer_row(known(answered), columns))
    assert altered is not None
    assert altered.columns == ("content",)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_times_survive_the_way_through_a_row(at: datetime) -> None:
    said = receipt(received_at=at.replace(microsecond=at.microsecond // 1000 * 1000))
    again = type(said).model_validate_json(said.model_dump_json())
    assert shown_hash(lambda: again, hashlib.sha256(encode_payload(said)).digest()) == known(said).content_hash


# ---- contents ------------------------------------------------------------------------------------------------------


def listed(number: int, content_hash: bytes = HASH, *, delivered: bool = True) -> BucketEvent:
    return BucketEvent(id=event_id(number), sequence=number, content_hash=content_hash.hex(), delivered=delivered)


def test_contents_name_what_is_missing_altered_and_unknown() -> None:
    compared = compare_contents(
        [listed(1), listed(2), listed(3)], {event_id(1): HASH, event_id(2): OTHER, event_id(4): HASH}
    )
    assert [event.sequence for event in compared.missing] == [3]
    assert [event.sequence for event in compared.altered] == [2]
    assert compared.unknown == [event_id(4)]


def test_an_event_on_its_way_may_be_there_or_not() -> None:
    on_its_way = [listed(1, delivered=False)]
    assert compare_contents(on_its_way, {}) == ([], [], [])
    assert compare_contents(on_its_way, {event_id(1): HASH}) == ([], [], [])


def test_only_neighbours_are_asked_for_together() -> None:
    assert runs([]) == []
    assert runs([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
