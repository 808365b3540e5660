"""What the portals of the other kinds say: plain documents, as they fit into a feed or a table, and a city's cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portalbus.infra.demo.composer import Composer
from portalbus.infra.demo.plan import Door
from portalbus.schemas.directory import Agency
from portalbus.schemas.models import (
    BodyFormat,
    CaseUrgency,
    Channel,
    DirectivePublished,
    DocumentUrgency,
    Outcome,
)

DOCUMENTS = 3
CITY = {"regime": "R6", "category": 6, "channel": Channel.APP}
"""What a pull connector says of the cases of one city: it stands in its configuration."""
PLAIN: Mapping[str, Any] = {
    "abstract": None,
    "field": None,
    "effective_on": None,
    "signer": None,
    "urgency": DocumentUrgency.NORMAL,
    "recipients": (),
    "attachments": (),
}
"""A document with what every portal has of it."""

Story = Callable[[Composer, Door, Agency], None]


def documents(composer: Composer, door: Door, issuer: Agency) -> None:
    """Three documents, and a new version of the first."""
    found = []
    for number in range(DOCUMENTS):
        at = 0.05 + 0.12 * number
        found.append(_shaped(composer.directive(issuer, at, vietnamese=True, **PLAIN), door))
        composer.add(at, issuer, found[-1], portal=door.portal, door=door)
    revised = composer.revision(found[0].model_copy(update={"body": found[0].body}))
    composer.add(0.6, issuer, _shaped(revised, door), portal=door.portal, door=door)


def city_cases(composer: Composer, door: Door, city: Agency) -> None:
    """Three requests of citizens, one of them closed with an answer."""
    found = []
    for number in range(DOCUMENTS):
        at = 0.05 + 0.12 * number
        received = composer.receipt(
            city, city, at, **CITY, field=None, area=None, urgency=CaseUrgency.NORMAL, pseudonym=None
        )
        found.append(received)
        composer.add(at, city, received, portal=door.portal, door=door)
    answer = composer.answer(found[0], 0.6).model_copy(update={"outcome": Outcome.ANSWERED, "public": True})
    composer.add(0.6, city, answer, portal=door.portal, door=door)


def _shaped(document: DirectivePublished, door: Door) -> DirectivePublished:
    """The document as a feed can say it: a news item whose body is HTML."""
    if door is not Door.FEED:
        return document
    body = document.body if document.body_format is BodyFormat.HTML else f"<p>{document.body}</p>"
    changes = {"number": "", "document_type": "TIN", "body": body, "body_format": BodyFormat.HTML}
    return DirectivePublished.model_validate(document.model_dump() | changes)


JOINED_STORIES: Mapping[Door, Story] = {
    Door.DJANGO: documents,
    Door.GATEWAY: documents,
    Door.FEED: documents,
    Door.SQL: documents,
    Door.FILES: documents,
    Door.OPEN311: city_cases,
}
