"""The demo's texts keep the rules of the bus, and read as one voice."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime
from random import Random

import pytest

from portalbus.infra.demo.articles import ARTICLES, article_directives
from portalbus.infra.demo.cast import choose_cast
from portalbus.infra.demo.grammar import SLOT, grammar
from portalbus.infra.demo.plan import Plan
from portalbus.infra.demo.scenario import write_plan
from portalbus.infra.demo.texts import Writer
from portalbus.producers.draft import Drafter
from portalbus.schemas.directory import directory
from portalbus.schemas.errors import EventRefused
from portalbus.schemas.models import DirectivePublished, VerdictStatus
from portalbus.schemas.rules import texts_of

DAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return write_plan(7, choose_cast(directory(), 43, DAY), 1_500, DAY, "testtag")


def test_every_honest_event_passes_the_rules_of_the_sdk(plan: Plan) -> None:
    for step in plan.steps:
        if step.fault is None and step.status is VerdictStatus.ACCEPTED:
            Drafter(step.agency, step.portal).draft(step.payload, occurred_at=step.occurred_at)


def test_what_the_sdk_is_to_refuse_is_refused_with_the_rule_of_the_plan(plan: Plan) -> None:
    refused = [step for step in plan.steps if not step.sent]
    assert refused
    for step in refused:
        with pytest.raises(EventRefused) as caught:
            Drafter(step.agency, step.portal).draft(step.payload, occurred_at=step.occurred_at)
        assert caught.value.rule == step.rule


def test_no_slot_is_left_open_and_every_honest_text_is_nfc(plan: Plan) -> None:
    for step in plan.steps:
        for path, text in texts_of(step.payload):
            assert not SLOT.search(text), (path, text)
            if step.fault is None:
                assert unicodedata.is_normalized("NFC", text), path


def test_every_slot_of_the_grammar_has_words() -> None:
    words = grammar()
    writer = Writer(words, Random(1))
    for topic in words.topics:
        for template in [*topic.directive, *topic.measure]:
            words.say(Random(1), template)
        for concern in topic.concern:
            for template in (concern.subject, concern.detail, concern.finding):
                assert words.say(Random(1), template)
    assert writer.withdrawal_reason()


def test_the_texts_are_varied(plan: Plan) -> None:
    bodies = {step.payload.body for step in plan.steps if isinstance(step.payload, DirectivePublished)}
    fields = {step.payload.field for step in plan.steps if isinstance(step.payload, DirectivePublished)}
    languages = {step.payload.language for step in plan.steps if isinstance(step.payload, DirectivePublished)}
    assert len(bodies) > 300
    assert len(fields) >= 10
    assert {"vi", "en", "zh", "ja"} <= languages


def test_an_answer_speaks_of_the_place_of_its_feedback() -> None:
    words = grammar()
    random = Random(3)
    writer = Writer(words, random)
    topic = next(topic for topic in words.topics if topic.field == "Giao thông")
    trouble = writer.trouble(topic)
    writer.feedback(trouble)
    before = dict(trouble.places)
    writer.answer(trouble)
    assert before.items() <= trouble.places.items()


def test_the_articles_are_published_first_with_every_character_of_their_files(plan: Plan) -> None:
    first = [step.payload for step in plan.steps[:3]]
    assert [payload.language for payload in first if isinstance(payload, DirectivePublished)] == ["vi", "en", "ja"]
    for article, payload in zip(ARTICLES, first, strict=True):
        assert isinstance(payload, DirectivePublished)
        assert payload.body == article.text()
        assert payload.document_type == "TIN"
        assert (plan.steps[0].agency, payload.version) == ("G22", 1)
    assert "電子ポータル" in ARTICLES[2].text()


def test_a_second_run_revises_the_articles() -> None:
    heads = {article.directive_id: 4 for article in ARTICLES}
    assert {(directive.version, directive.action.value) for directive in article_directives(heads)} == {(5, "REVISE")}


def test_nothing_of_the_day_lies_in_the_future(plan: Plan) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert all(step.occurred_at < now for step in plan.steps if step.fault != "time in the future")
