"""Builds payloads and steps of one day: numbers, ids, dates and addresses that fit together."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from importlib.resources import files
from random import Random
from typing import Any

from portalbus.infra.demo.cast import GOVERNMENT_PORTAL
from portalbus.infra.demo.day import WorkingDay, moment
from portalbus.infra.demo.grammar import grammar
from portalbus.infra.demo.plan import Step
from portalbus.infra.demo.texts import TYPES, DirectiveText, Trouble, Writer
from portalbus.schemas.directory import Agency
from portalbus.schemas.identifiers import CROCKFORD, PUBLIC_CODE_LENGTH
from portalbus.schemas.models import (
    Attachment,
    BodyFormat,
    CaseUrgency,
    Channel,
    DirectiveAction,
    DirectivePublished,
    DocumentUrgency,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
    Payload,
    RefusalReason,
)
from portalbus.schemas.search_text import fold

SPEAKS_FOREIGN = frozenset({GOVERNMENT_PORTAL, "G08", "G12", "H26", "H29", "H17", "H37", "H38"})
"""Portals that publish in English and Chinese too."""
URGENCIES = (
    (DocumentUrgency.NORMAL, 86),
    (DocumentUrgency.KHAN, 9),
    (DocumentUrgency.THUONG_KHAN, 3),
    (DocumentUrgency.HOA_TOC, 2),
)


class Composer:
    """Collects the steps of a day. `cast[0]` is the Government Portal."""

    def __init__(self, random: Random, cast: Sequence[Agency], day: WorkingDay, tag: str) -> None:
        self.cast = cast
        self.day = day
        self.tag = tag
        self.steps: list[Step] = []
        self.writer = Writer(grammar(), random)
        self._random = random
        # Codes are secrets of a case, so they differ from run to run; everything else comes from the seed.
        self._codes = Random(f"{random.random()}/{tag}")  # noqa: S311 - a simulation
        self._troubles: dict[str, Trouble] = {}
        self._numbers: Counter[tuple[str, str]] = Counter()

    @property
    def count(self) -> int:
        """How many steps there are so far."""
        return len(self.steps)

    def add(self, at: float, agency: Agency, payload: Payload, **how: Any) -> Step:
        """One more step, at this place of the day."""
        how.setdefault("occurred_at", self.day.time(at))
        step = Step(number=self.count, at=at, agency=agency.code, payload=payload, **how)
        self.steps.append(step)
        return step

    def directive(self, issuer: Agency, at: float, *, vietnamese: bool = False, **changes: Any) -> DirectivePublished:
        """Version 1 of a new directive."""
        random = self._random
        code = random.choice(list(TYPES))
        foreign = not vietnamese and issuer.code in SPEAKS_FOREIGN and random.random() < 0.25
        text = self.writer.foreign_directive() if foreign else self.writer.directive(code, self.writer.topic(issuer))
        number = self._next(issuer.code, code)
        slug = f"{code.lower()}-{number:03d}-{self.tag}"
        issued = self.day.time(at).date() - timedelta(days=random.choice((0, 0, 0, 1, 2)))
        return DirectivePublished.model_validate(
            {
                "action": DirectiveAction.PUBLISH,
                "directive_id": slug,
                "version": 1,
                "number": f"{number}/{TYPES[code][1]}-{mark(issuer)}",
                "document_type": code,
                "issued_on": issued,
                "effective_on": issued + timedelta(days=random.choice((0, 7, 15))) if random.random() < 0.5 else None,
                "signer": self.writer.signer(issuer),
                "urgency": random.choices([item for item, _ in URGENCIES], [weight for _, weight in URGENCIES])[0],
                "recipients": self._recipients(issuer),
                "attachments": self._attachments(issuer, slug),
                "canonical_url": f"https://{domain(issuer)}/van-ban/{slug}",
                **self._words(text),
                **changes,
            }
        )

    def revision(self, document: DirectivePublished) -> DirectivePublished:
        """The next version, with one more paragraph."""
        body = self.writer.revised(document.body, document.language)
        return document.model_copy(
            update={"action": DirectiveAction.REVISE, "version": document.version + 1, "body": body}
        )

    def withdrawal(self, document: DirectivePublished) -> DirectivePublished:
        """The withdrawal that ends a directive."""
        return document.model_copy(
            update={
                "action": DirectiveAction.WITHDRAW,
                "version": document.version + 1,
                "withdrawal_reason": self.writer.withdrawal_reason(),
            }
        )

    def case_setting(self) -> tuple[Agency, Agency, float]:
        """Who receives a feedback, who is to handle it, and when it comes."""
        random = self._random
        owner = random.choice(self.cast)
        # Half of all feedback comes in at the Government Portal, and is passed to the body that is competent.
        receiver = self.cast[0] if random.random() < 0.5 else owner
        if random.random() < 0.15:
            receiver = random.choice(self.cast)
        return receiver, owner, moment(random, 0.02, 0.9)

    def receipt(self, receiver: Agency, owner: Agency, at: float, **changes: Any) -> FeedbackReceived:
        """A feedback as the receiver's portal reports it; `answer` knows what troubles the citizen."""
        random = self._random
        trouble = self.writer.trouble(self.writer.topic(owner))
        text = self.writer.feedback(trouble)
        number = self._next(receiver.code, "case")
        case_id = f"{receiver.code}-{self.day.date.year}-{self.tag}-{number:05d}"
        self._troubles[case_id] = trouble
        return FeedbackReceived.model_validate(
            {
                "case_id": case_id,
                "public_code": "".join(self._codes.choice(CROCKFORD) for _ in range(PUBLIC_CODE_LENGTH)),
                "regime": "R2" if receiver.code == GOVERNMENT_PORTAL else random.choice(("R1", "R6", "R6", "R7")),
                "category": random.choice((1, 1, 2, 6, 6, 7)),
                "channel": random.choice(list(Channel)),
                "received_at": self.day.time(at) - timedelta(minutes=random.randint(20, 240)),
                "addressed_to": owner.code,
                "field": text.field,
                "area": areas().get(owner.code),
                "urgency": CaseUrgency.URGENT if random.random() < 0.05 else CaseUrgency.NORMAL,
                "subject": text.subject,
                "content": text.content,
                "language": "vi",
                "pseudonym": f"p-{random.getrandbits(40):010x}" if random.random() < 0.7 else None,
                **changes,
            }
        )

    def answer(self, received: FeedbackReceived, at: float) -> FeedbackResolved:
        """An answer to a case."""
        random = self._random
        outcome = random.choice((Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ACCEPTED_AMEND))
        return FeedbackResolved(
            case_id=received.case_id,
            outcome=outcome,
            answer=self.writer.answer(self._troubles[received.case_id]),
            language="vi",
            answered_at=self.day.time(at),
            public=random.random() < 0.85,
        )

    def refusal(self, received: FeedbackReceived, at: float) -> FeedbackResolved:
        """A refusal of a case, with its reason."""
        refusal = self.writer.refusal()
        return FeedbackResolved(
            case_id=received.case_id,
            outcome=Outcome(refusal.outcome),
            reason_code=RefusalReason(refusal.code),
            reason_text=refusal.text,
            legal_basis=refusal.legal_basis,
            competent_agency=refusal.competent_agency,
            language="vi",
            answered_at=self.day.time(at),
        )

    def _words(self, text: DirectiveText) -> dict[str, Any]:
        words = {"title": text.title, "abstract": text.abstract, "body": text.body, "field": text.field}
        return {**words, "body_format": BodyFormat.TEXT, "language": text.language}

    def _next(self, agency: str, kind: str) -> int:
        self._numbers[agency, kind] += 1
        return self._numbers[agency, kind]

    def _recipients(self, issuer: Agency) -> tuple[str, ...]:
        others = [agency.code for agency in self.cast if agency is not issuer]
        wanted = self._random.choice((0, 0, 1, 3, 6))
        return tuple(self._random.sample(others, min(wanted, len(others))))

    def _attachments(self, issuer: Agency, slug: str) -> tuple[Attachment, ...]:
        random = self._random
        return tuple(
            Attachment(
                name=f"phu-luc-{number}.pdf",
                url=f"https://{domain(issuer)}/van-ban/{slug}/phu-luc-{number}.pdf",
                media_type="application/pdf",
                size=random.randint(20_000, 4_000_000),
                sha256=hashlib.sha256(random.randbytes(16)).hexdigest(),
            )
            for number in range(1, 1 + random.choices((0, 1, 2), (70, 22, 8))[0])
        )


def mark(agency: Agency) -> str:
    """The mark of an agency in the numbers of its documents: `UBND`, `BYT`."""
    if agency.kind == "province":
        return "UBND"
    return "".join(word[0] for word in agency.name_vi.split() if word not in ("và", "về")).upper()


def domain(agency: Agency) -> str:
    """The address of an agency's portal in the demo."""
    if agency.code == GOVERNMENT_PORTAL:
        return "chinhphu.vn"
    words = fold(agency.name_vi).split()
    if agency.kind == "province":
        place = [word for word in words if word not in ("ubnd", "tinh", "thanh", "pho")]
        if agency.code == "H56":  # Thanh Hóa begins with one of the words left out
            place = ["thanh", "hoa"]
        return "".join(place) + ".gov.vn"
    return "".join(word[0] for word in words if word not in ("va", "ve")) + ".gov.vn"


@lru_cache(maxsize=1)
def areas() -> dict[str, str]:
    """Statistical code of each province by its agency's code."""
    text = files("portalbus.schemas").joinpath("data/provinces.csv").read_text(encoding="utf-8")
    return {row["agency_code"]: row["nso_code"] for row in csv.DictReader(text.splitlines())}
