"""Writes the plan of the day: honest stories of directives and cases, with the faulty ones of `faults` among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from random import Random

from portalbus.infra.demo.articles import article_directives
from portalbus.infra.demo.case_lives import LONGEST_LIFE, case_life
from portalbus.infra.demo.cast import GOVERNMENT_PORTAL
from portalbus.infra.demo.composer import Composer
from portalbus.infra.demo.day import WorkingDay, moment
from portalbus.infra.demo.faults import KINDS
from portalbus.infra.demo.joined.stories import JOINED_STORIES
from portalbus.infra.demo.plan import JOINED, Door, Plan
from portalbus.schemas.directory import Agency

FEWEST_EVENTS = 90
FAULTY_SHARE = 0.08
LIVES_SHARE = 0.15
LONGEST_STORY = max(4, LONGEST_LIFE)
ANSWERED_EARLY = 0.3
"""Share of the answers by another agency that are published before the receiver's portal says what it received."""


def write_plan(
    seed: int,
    cast: Sequence[Agency],
    events: int,
    day: date,
    tag: str,
    heads: Mapping[str, int] | None = None,
    doors: Sequence[Door] = JOINED,
) -> Plan:
    """A plan of `events` events. `heads`: versions of the articles that the centre has from earlier runs.

    `doors` are the ways by which portals other than those with the SDK take part.

    Raises ValueError for less than FEWEST_EVENTS: not every fault would have room.
    """
    if events < FEWEST_EVENTS:
        raise ValueError(
            f"the number of events must be at least {FEWEST_EVENTS}, so that every kind of fault takes part"
        )
    random = Random(seed)  # noqa: S311 - a simulation, no secret
    composer = Composer(random, tuple(cast), WorkingDay(day), tag)
    government = next(agency for agency in cast if agency.code == GOVERNMENT_PORTAL)
    for number, article in enumerate(article_directives(heads or {})):
        composer.add(number / 10_000, government, article)
    for door in doors:
        JOINED_STORIES[door](composer, door, composer.cast[1 + JOINED.index(door) % (len(cast) - 1)])
    _add_faults(composer, random, round(events * FAULTY_SHARE))
    while composer.count < events:
        if random.random() < 0.42 or events - composer.count < LONGEST_STORY:
            directive_story(composer, random, room=events - composer.count)
        elif random.random() < LIVES_SHARE:
            case_life(composer, random)
        else:
            case_story(composer, random)
    return Plan(seed, tag, day, tuple(cast), tuple(sorted(composer.steps, key=lambda step: (step.at, step.number))))


def directive_story(composer: Composer, random: Random, room: int) -> None:
    """A directive is published; some are revised, some withdrawn. At most `room` events."""
    issuer = random.choice(composer.cast)
    at = moment(random, 0.0, 0.9)
    document = composer.directive(issuer, at)
    composer.add(at, issuer, document)
    for _ in range(min(random.choices((0, 1, 2), (75, 20, 5))[0], room - 1)):
        at = moment(random, at, 1.0)
        document = composer.revision(document)
        composer.add(at, issuer, document)
    if random.random() < 0.06 and document.version < room:
        composer.add(moment(random, at, 1.0), issuer, composer.withdrawal(document))


def case_story(composer: Composer, random: Random) -> None:
    """A feedback is received and mostly answered or refused, often by another agency than the one that received it."""
    receiver, owner, at = composer.case_setting()
    received = composer.receipt(receiver, owner, at)
    composer.add(at, receiver, received)
    if random.random() < 0.2:
        return
    early = receiver != owner and random.random() < ANSWERED_EARLY
    answered = max(at - 0.02 * random.random(), 0.001) if early else moment(random, at, 1.0)
    refused = random.random() < 0.22
    answer = composer.refusal(received, answered) if refused else composer.answer(received, answered)
    composer.add(answered, owner, answer)


def _add_faults(composer: Composer, random: Random, wanted: int) -> None:
    """Every kind of fault once, then more of them at random."""
    start = composer.count
    for kind in KINDS:
        kind(composer, random)
    while composer.count - start < wanted:
        random.choice(KINDS)(composer, random)
