"""Fills a ledger with rows as the worker writes them, for tests of what reads it.

Each function is one transaction that takes positions, writes the rows of one judgement and notifies, like the worker.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from portalbus.schemas import search_text
from portalbus.schemas.models import (
    Attachment,
    BodyFormat,
    Channel,
    DirectiveAction,
    DirectivePublished,
    FeedbackReceived,
    FeedbackResolved,
    Outcome,
)

ARTICLES = Path(__file__).parents[1] / "data" / "articles"
TITLES = {
    "vi": "Hội nghị kết nối thông tin chỉ đạo, điều hành của Chính phủ với Cổng TTĐT các bộ, ngành, địa phương",
    "en": "Need mechanism, guidance on spending on remuneration and royalties",
    "ja-vi": "ネットワーク環境上の政府情報を省庁、支部、地方自治体の電子ポータルに接続",
}
ARTICLE_NAMES = tuple(TITLES)


def article_text(name: str) -> str:
    """The text of an article, exactly as it lies in its file."""
    return (ARTICLES / f"article-{name}.txt").read_bytes().decode("utf-8")


def article(name: str) -> DirectivePublished:
    """An article as a directive of G22."""
    return directive(
        f"article-{name}",
        number="",
        document_type="TIN",
        title=TITLES[name],
        body=article_text(name),
        language=name.split("-")[0],
        issued_on=date(2024, 11, 15 if name == "ja-vi" else 14),
    )


def directive(directive_id: str, **values: Any) -> DirectivePublished:
    """A directive with everything that a test does not care about filled in."""
    given = {
        "action": DirectiveAction.PUBLISH,
        "version": 1,
        "number": "15/CT-TTg",
        "document_type": "CT",
        "title": "Về việc đẩy mạnh kết nối các cổng thông tin điện tử",
        "body": "Thủ tướng Chính phủ yêu cầu các bộ, ngành, địa phương thực hiện.\n",
        "body_format": BodyFormat.TEXT,
        "language": "vi",
        "issued_on": date(2026, 11, 20),
        "canonical_url": f"https://cong.example.gov.vn/van-ban/{directive_id}",
    }
    return DirectivePublished.model_validate({"directive_id": directive_id, **given, **values})


def attachment(name: str = "15-CT-TTg.signed.pdf", size: int = 1_482_113) -> Attachment:
    """A file that a directive carries."""
    return Attachment(
        name=name,
        url=f"https://cong.example.gov.vn/tep/{name}",
        media_type="application/pdf",
        size=size,
        sha256="3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
    )


def feedback(case_id: str, public_code: str, **values: Any) -> FeedbackReceived:
    """A feedback as its portal redacted it."""
    given = {
        "regime": "R1",
        "category": 1,
        "channel": Channel.WEB,
        "received_at": datetime(2026, 11, 19, 2, 15, tzinfo=UTC),
        "addressed_to": case_id.split("-")[0],
        "subject": "Chậm trả kết quả",
        "content": "Hồ sơ đã quá hạn trả kết quả.",
        "language": "vi",
        "pseudonym": "p-7c1",
    }
    return FeedbackReceived.model_validate({"case_id": case_id, "public_code": public_code, **given, **values})


def answer(case_id: str, **values: Any) -> FeedbackResolved:
    """An answer to a feedback."""
    given = {
        "outcome": Outcome.ANSWERED,
        "answer": "Hồ sơ đã được giải quyết ngày 20/11/2026.\n\nKết quả được trả tại bộ phận một cửa.",
        "language": "vi",
        "answered_at": datetime(2026, 11, 20, 8, 40, tzinfo=UTC),
    }
    return FeedbackResolved.model_validate({"case_id": case_id, **given, **values})


class LedgerRows:
    """Writes rows into one ledger; `at` is the lane time, by default one second after the row before."""

    def __init__(self, database_url: str, start: datetime | None = None) -> None:
        self.database_url = database_url
        self._connection = psycopg.connect(database_url)
        self._time = start or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def empty(self) -> None:
        """Takes everything out of the ledger."""
        with self._connection.transaction():
            self._connection.execute(
                "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed,"
                " ledger.directive, ledger.directive_version, ledger.case, ledger.case_step, ledger.waiting,"
                " ledger.parked, casework.case, casework.handling, casework.deadline"
            )
            self._connection.execute("update ledger.position set next = 1")
            self._connection.execute("notify ledger, '0'")

    def publish(self, document: DirectivePublished, agency: str = "G22", at: datetime | None = None) -> str:
        """An accepted DirectivePublished; returns the directive's key."""
        key = f"{agency}/{document.directive_id}"
        with self._judgement(agency, "DirectivePublished", key, at) as row:
            self._connection.execute(
                "insert into ledger.directive_version values"
                " (%(key)s, %(version)s, %(action)s, %(event_id)s, %(offset)s, %(at)s, %(position)s, %(document)s)",
                {
                    **row,
                    "version": document.version,
                    "action": document.action.value,
                    "document": Jsonb(document.model_dump(mode="json")),
                },
            )
            self._write_directive(document, row)
        return key

    def receive(self, received: FeedbackReceived, at: datetime | None = None) -> None:
        """An accepted FeedbackReceived."""
        agency = received.case_id.split("-")[0]
        with self._judgement(agency, "FeedbackReceived", received.case_id, at) as row:
            values = {**received.model_dump(mode="json"), "receiver": agency, "position": row["position"]}
            self._connection.execute(
                "insert into ledger.case (case_id, public_code, receiver, owner, regime, category, channel, field,"
                " area, urgency, urgent, subject, content, language, pseudonym, received_at, state, position) values"
                " (%(case_id)s, %(public_code)s, %(receiver)s, %(addressed_to)s, %(regime)s, %(category)s, %(channel)s,"
                " %(field)s, %(area)s, %(urgency)s, %(urgency)s = 'URGENT', %(subject)s, %(content)s,"
                " %(language)s, %(pseudonym)s, %(received_at)s, 'RECEIVED', %(position)s)",
                values,
            )

    def owe(self, case_id: str, agency: str, due_on: date | None, state: str) -> None:
        """What casework reckons of a case: an answer that is owed by the end of a day."""
        run = self._connection.execute
        with self._connection.transaction():
            run(
                "insert into casework.case select case_id, owner, urgency, 'RECEIVED', position, '{}' from ledger.case"
                " where case_id = %s",
                (case_id,),
            )
            run(
                "insert into casework.handling select case_id, 1, %s, 'L1', regime, category, field, area, received_at,"
                " null, null, null, null, 0, 0, false, false, null from ledger.case where case_id = %s",
                (agency, case_id),
            )
            run(
                "insert into casework.deadline values (%s, 1, 'ANSWER', 1, %s, 'R2.answer', 1, %s, null, null, %s)",
                (case_id, agency, due_on, state),
            )

    def resolve(
        self, resolved: FeedbackResolved, agency: str, at: datetime | None = None, *, shown: bool = True
    ) -> None:
        """An accepted FeedbackResolved of `agency`, published at once if it is to be `shown`."""
        with self._judgement(agency, "FeedbackResolved", resolved.case_id, at) as row:
            values = {**resolved.model_dump(mode="json"), "agency": agency, "position": row["position"]}
            values |= {"at": row["at"], "published": row["at"] if shown else None}
            self._connection.execute(
                "update ledger.case set state = 'RESOLVED', outcome = %(outcome)s, reason_code = %(reason_code)s,"
                " reason_text = %(reason_text)s, legal_basis = %(legal_basis)s,"
                " competent_agency = %(competent_agency)s, answer = %(answer)s, answer_language = %(language)s,"
                " answer_public = %(public)s, answered_by = %(agency)s, answered_at = %(answered_at)s,"
                " answer_heard_at = %(at)s, answer_published_at = %(published)s, position = %(position)s"
                " where case_id = %(case_id)s",
                values,
            )

    def refuse(self, agency: str, rule: str = "schema.format", status: str = "REJECTED") -> None:
        """A final verdict other than accepted, such as REJECTED or DUPLICATE."""
        with self._judgement(agency, "DirectivePublished", f"{agency}/x", None, status=status, rule=rule):
            pass

    def wait(self, agency: str, key: str, rule: str = "case.waits-for-receipt") -> None:
        """An event in the waiting room."""
        with self._judgement(agency, "FeedbackResolved", key, None, status="WAITING", rule=rule, final=False) as row:
            self._connection.execute(
                "insert into ledger.waiting values"
                " (%(agency)s, %(offset)s, %(key)s, %(rule)s, 1, %(at)s, %(at)s, '\\x00')",
                {**row, "rule": rule},
            )

    def park(self, agency: str, reason: str = "record.not-avro") -> None:
        """A record that could not be read."""
        with self._judgement(agency, None, None, None, status="PARKED", rule=reason) as row:
            self._connection.execute(
                "insert into ledger.parked (agency, lane_offset, reason, detail, headers, value, parked_at)"
                " values (%(agency)s, %(offset)s, %(reason)s, '', '{}', '\\x00', %(at)s)",
                {**row, "reason": reason},
            )

    @contextmanager
    def _judgement(
        self,
        agency: str,
        event_type: str | None,
        key: str | None,
        at: datetime | None,
        *,
        status: str = "ACCEPTED",
        rule: str = "event.accepted",
        final: bool = True,
    ) -> Iterator[dict[str, Any]]:
        self._time = at or self._time + timedelta(seconds=1)
        with self._connection.transaction():
            offset = self._next_offset(agency)
            taken = self._connection.execute("update ledger.position set next = next + 1 returning next - 1").fetchone()
            assert taken is not None
            row = {
                "agency": agency,
                "offset": offset,
                "event_id": str(uuid.uuid4()) if event_type else None,
                "event_type": event_type,
                "sequence": offset + 1,
                "key": key,
                "at": self._time,
                "position": taken[0],
                "status": status,
                "final": final,
                "rule": rule,
                "claims": status == "ACCEPTED",
            }
            self._write_judgement(row)
            yield row
            self._connection.execute(f"notify ledger, '{taken[0]}'")

    def _next_offset(self, agency: str) -> int:
        query = "select coalesce(max(lane_offset) + 1, 0) from ledger.event where agency = %s"
        row = self._connection.execute(query, (agency,)).fetchone()
        assert row is not None
        offset: int = row[0]
        return offset

    def _write_judgement(self, row: dict[str, Any]) -> None:
        run = self._connection.execute
        run(
            "insert into ledger.source (agency, portal, last_sequence, first_heard_at, last_heard_at)"
            " values (%(agency)s, 'www', %(sequence)s, %(at)s, %(at)s) on conflict (agency, portal)"
            " do update set last_sequence = excluded.last_sequence, last_heard_at = excluded.last_heard_at",
            row,
        )
        run(
            "insert into ledger.event (agency, lane_offset, event_id, claims_id, event_type, portal, epoch, sequence,"
            " key, occurred_at, published_at, received_at, judged_at, position, status, final, rule) values"
            " (%(agency)s, %(offset)s, %(event_id)s, %(claims)s, %(event_type)s, 'www', 1, %(sequence)s, %(key)s,"
            " %(at)s, %(at)s, %(at)s, %(at)s, %(position)s, %(status)s, %(final)s, %(rule)s)",
            row,
        )
        run(
            "insert into ledger.judgement (position, agency, lane_offset, status, final, rule, judged_at)"
            " values (%(position)s, %(agency)s, %(offset)s, %(status)s, %(final)s, %(rule)s, %(at)s)",
            row,
        )

    def _write_directive(self, document: DirectivePublished, row: dict[str, Any]) -> None:
        words = search_text.fold(f"{document.number} {document.title} {document.abstract or ''} {document.body}")
        self._connection.execute(
            "insert into ledger.directive (key, agency, directive_id, version, withdrawn, number, document_type, title,"
            " language, field, issued_on, published_at, changed_at, position, search) values (%(key)s, %(agency)s,"
            " %(directive_id)s, %(version)s, %(withdrawn)s, %(number)s, %(document_type)s, %(title)s, %(language)s,"
            " %(field)s, %(issued_on)s, %(at)s, %(at)s, %(position)s, to_tsvector('simple', %(words)s))"
            " on conflict (key) do update set version = excluded.version, withdrawn = excluded.withdrawn,"
            " number = excluded.number, title = excluded.title, changed_at = excluded.changed_at,"
            " position = excluded.position, search = excluded.search",
            {
                **document.model_dump(mode="json"),
                **row,
                "withdrawn": document.action is DirectiveAction.WITHDRAW,
                "words": words,
            },
        )


def hear_lanes(url: str, heard_until: Mapping[str, datetime]) -> None:
    """Says that everything on these lanes was heard up to these moments, as the watch does."""
    with psycopg.connect(url) as connection:
        for agency, moment in heard_until.items():
            connection.execute(
                "insert into ledger.hearing (agency, heard_until, heard_since) values (%s, %s, %s)"
                " on conflict (agency) do update set heard_until = excluded.heard_until",
                (agency, moment, moment),
            )
