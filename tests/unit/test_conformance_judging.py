"""The judge of the conformance kit: what is right passes, and each way to be wrong has its own name."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from string import Formatter
from typing import Any

import pytest

from bus_events import envelope
from portalbus.connectors.conformance.door import Request
from portalbus.connectors.conformance.judging import MOST_A_SECOND, Fault, faults
from portalbus.connectors.conformance.making import Maker
from portalbus.connectors.conformance.running import Seen, Taken
from portalbus.connectors.conformance.scenario import Publish, Scenario

STEPS: list[dict[str, Any]] = [
    {"do": "publish", "ref": "first"},
    {"do": "publish", "ref": "second", "event": "revision", "version": 2},
    {"do": "publish", "ref": "wrong", "about": "wrong", "set": {"title": ""}},
    {"do": "publish", "ref": "clash", "about": "clash", "set": {"document_type": "ZZ"}},
]
WORDS = {"vi": "a", "en": "b", "zh": "c"}
SCENARIO = Scenario.model_validate(
    {
        "id": "example",
        "title": WORDS,
        "why": WORDS,
        "step": STEPS,
        "arrives": ["first", "second"],
        "refused": {"wrong": ["schema.empty"], "clash": ["directive.type-unknown"]},
    }
)


@pytest.fixture
def seen() -> Seen:
    """All as it should be."""
    maker = Maker(SCENARIO, "abc123", "H26")
    for step in SCENARIO.step:
        assert isinstance(step, Publish)
        maker.make(step)
    found = Seen(said=maker.said, arrives=frozenset({"first", "second"}), waited=5)
    found.taken = [taken(found, "first", 1), taken(found, "second", 2)]
    found.answers = {
        "first": {"state": "delivered"},
        "second": {"state": "kept"},
        "wrong": {"state": "refused", "rule": "schema.empty"},
        "clash": {"state": "refused", "rule": "directive.type-unknown"},
    }
    return found


def taken(seen: Seen, ref: str, sequence: int, number: int | None = None, **changes: Any) -> Taken:
    payload = seen.said[ref].payload
    assert payload is not None
    head = envelope(number or sequence, "H26", sequence)
    return Taken(head, payload.model_copy(update=changes), f"H26/{seen.said[ref].data['directive_id']}")


def kinds(seen: Seen) -> list[str]:
    return [fault.kind for fault in faults(SCENARIO, seen)]


def asked(*times: float, status: int | None = 202, retry_after: float | None = None) -> list[Request]:
    return [Request(at, status, ("e-1",), retry_after) for at in times]


def test_what_is_right_has_no_fault(seen: Seen) -> None:
    seen.taken.insert(1, seen.taken[0])  # sent again under its id: the centre knows it
    seen.requests = [*asked(0.0, status=429, retry_after=1), *asked(1.0, status=None), *asked(1.2)]
    assert kinds(seen) == []


def test_what_does_not_arrive_is_lost(seen: Seen) -> None:
    del seen.taken[1]
    (fault,) = faults(SCENARIO, seen)
    assert fault.kind == "lost"
    assert fault.message.en == "second was published and did not arrive within 5 s."
    assert fault.message.vi and fault.mend.zh


def test_what_arrives_otherwise_than_it_was_said_is_changed_there(seen: Seen) -> None:
    seen.taken[0] = taken(seen, "first", 1, title="Ch&igrave; thị", body="…")
    (fault,) = faults(SCENARIO, seen)
    assert (fault.kind, fault.params["fields"]) == ("changed", "/body, /title")


def test_two_ids_for_one_thing_are_two_events(seen: Seen) -> None:
    seen.taken.append(taken(seen, "first", 3))
    assert kinds(seen) == ["twice", "overtaken"]


def test_one_id_for_two_things_is_reused(seen: Seen) -> None:
    seen.taken[1] = taken(seen, "second", 2, number=1)
    assert kinds(seen) == ["id-reused"]


def test_what_nobody_published_is_invented(seen: Seen) -> None:
    seen.taken.append(taken(seen, "second", 3, version=7))
    assert kinds(seen) == ["invented"]


def test_a_record_that_is_no_event_is_named_by_its_rule(seen: Seen) -> None:
    seen.unreadable = ["record.shape", "record.shape"]
    assert [fault.params for fault in faults(SCENARIO, seen)] == [{"rule": "record.shape"}]


def test_who_was_published_first_comes_first(seen: Seen) -> None:
    seen.taken = [taken(seen, "second", 1), taken(seen, "first", 2)]
    (fault,) = faults(SCENARIO, seen)
    assert (fault.kind, fault.params) == ("overtaken", {"ref": "second", "other": "first"})


def test_a_refusal_has_to_be_known_by_its_rule(seen: Seen) -> None:
    seen.answers |= {"wrong": {"state": "delivered"}, "clash": {"state": "refused", "rule": "error 422"}}
    assert kinds(seen) == ["not-refused", "wrong-rule"]
    seen.answers |= {"wrong": {}, "clash": {"state": "refused"}}
    assert kinds(seen) == ["not-refused", "wrong-rule"]


def test_what_breaks_a_rule_may_not_arrive(seen: Seen) -> None:
    seen.taken.append(taken(seen, "clash", 3))
    assert kinds(seen) == ["taken-though-wrong"]


def test_what_is_right_may_not_be_refused(seen: Seen) -> None:
    seen.answers["first"] = {"state": "refused", "rule": "gateway.rate"}
    assert kinds(seen) == ["refused-though-right"]


def test_nothing_may_wait_for_ever(seen: Seen) -> None:
    seen.waiting = 2
    assert kinds(seen) == ["still-waiting"]


def test_patience_that_was_asked_for_is_kept(seen: Seen) -> None:
    seen.requests = [*asked(0.0, status=429, retry_after=1), *asked(0.5)]
    (fault,) = faults(SCENARIO, seen)
    assert (fault.kind, fault.params) == ("hurried", {"asked": "1", "came": "0.5"})


def test_nobody_is_hammered(seen: Seen) -> None:
    often = [number / 100 for number in range(MOST_A_SECOND + 1)]
    seen.requests = asked(*often, status=503)
    assert kinds(seen) == ["hammering"]
    seen.requests = asked(*(at * 10 for at in often), status=503)
    assert kinds(seen) == []


def test_what_was_refused_for_good_is_not_sent_for_ever(seen: Seen) -> None:
    seen.requests = asked(1, 2, 3, 4, status=422)
    assert kinds(seen) == ["insisted"]


def test_decomposed_text_is_a_matter_of_advice(seen: Seen) -> None:
    seen.requests = [Request(1.0, 202, ("e-1",), decomposed=True)]
    assert faults(SCENARIO, seen) == [Fault("decomposed", advice=True)]


def test_every_fault_has_words_in_three_languages_for_the_same_facts() -> None:
    text = files("portalbus.connectors.conformance").joinpath("texts.toml").read_text("utf-8")
    for kind, table in tomllib.loads(text).items():
        assert set(table) == {"what", "mend"}, kind
        for texts in table.values():
            assert set(texts) == {"vi", "en", "zh"}, kind
            assert len({frozenset(name for _, name, _, _ in Formatter().parse(one)) for one in texts.values()}) == 1
