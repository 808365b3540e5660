"""Damage done to the central tables behind the bus's back: rows deleted, altered, added, and a withdrawal undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

SHOWN: tuple[LiteralString, ...] = (
    "delete from ledger.directive where key = any(%(keys)s)",
    "delete from ledger.directive_version where key = any(%(keys)s)",
)
EVERY_TRACE: tuple[LiteralString, ...] = (
    "delete from ledger.judgement j using ledger.event e"
    " where j.agency = e.agency and j.lane_offset = e.lane_offset and e.key = any(%(keys)s)",
    "delete from ledger.event where key = any(%(keys)s)",
)
OTHER_TITLE: tuple[LiteralString, ...] = (
    "update ledger.directive_version set document = jsonb_set(document, '{title}', '\"Đã bị sửa\"')"
    " where key = any(%(keys)s)",
    "update ledger.directive set title = 'Đã bị sửa' where key = any(%(keys)s)",
)
OTHER_BODY: tuple[LiteralString, ...] = (
    "update ledger.directive_version set document = jsonb_set(document, '{body}', '\"Nội dung khác\"')"
    " where key = any(%(keys)s)",
)
NOT_WITHDRAWN: tuple[LiteralString, ...] = (
    "delete from ledger.directive_version where key = any(%(keys)s) and action = 'WITHDRAW'",
    "update ledger.directive set version = version - 1, withdrawn = false where key = any(%(keys)s)",
)
ADD: tuple[LiteralString, ...] = (
    "insert into ledger.directive_version"
    " select split_part(key, '/', 1) || '/' || %(made_up)s, version, action, %(event_id)s, lane_offset, received_at,"
    " position, jsonb_set(document, '{directive_id}', to_jsonb(%(made_up)s::text))"
    " from ledger.directive_version where key = %(like)s and version = 1",
    "insert into ledger.directive"
    " select split_part(key, '/', 1) || '/' || %(made_up)s, agency, %(made_up)s, 1, false, number, document_type,"
    " title, language, field, issued_on, published_at, published_at, position, search"
    " from ledger.directive where key = %(like)s",
)
LIST_IT: LiteralString = """
insert into ledger.event
select agency, %(offset)s, %(event_id)s, claims_id, event_type, portal, epoch, sequence, agency || '/' || %(made_up)s,
       content_hash, occurred_at, published_at, received_at, judged_at, position, status, final, rule
from ledger.event where key = %(like)s order by lane_offset limit 1"""


@dataclass
class Damage:
    """What was done, by key."""

    deleted: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    unwithdrawn: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def missing(self) -> set[str]:
        """Directives that people do not see any more."""
        return {*self.deleted, *self.erased}


def damage(connection: Connection[Any], random: Random, each: int, erased: int) -> Damage:
    """Deletes, alters and adds `each` directives; `erased` of the deleted ones lose every trace in the ledger."""
    withdrawn = [key for (key,) in connection.execute("select key from ledger.directive where withdrawn order by key")]
    others = [key for (key,) in connection.execute("select key from ledger.directive where not withdrawn order by key")]
    random.shuffle(withdrawn)
    random.shuffle(others)
    done = Damage(unwithdrawn=withdrawn[: max(each // 5, 1)])
    gone, others = others[:each], others[each:]
    done.erased, done.deleted = gone[:erased], gone[erased:]
    done.altered, others = others[: each - len(done.unwithdrawn)], others[each:]
    _apply(connection, SHOWN, gone)
    _apply(connection, EVERY_TRACE, done.erased)
    half = len(done.altered) // 2
    _apply(connection, OTHER_TITLE, done.altered[:half])
    _apply(connection, OTHER_BODY, done.altered[half:])
    _apply(connection, NOT_WITHDRAWN, done.unwithdrawn)
    for number, like in enumerate(others[:each]):
        done.added.append(_add(connection, random, number, like, listed=number % 4 == 0))
    return done


def _apply(connection: Connection[Any], statements: Sequence[LiteralString], keys: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement, {"keys": list(keys)})


def _add(connection: Connection[Any], random: Random, number: int, like: str, *, listed: bool) -> str:
    """Adds a directive that nobody published; a `listed` one stands in the ledger's list of events too."""
    values = {
        "made_up": f"gia-{number}",
        "like": like,
        "event_id": UUID(int=random.getrandbits(128)),
        "offset": 1_000_000 + number,
    }
    for statement in ADD:
        connection.execute(statement, values)
    if listed:
        connection.execute(LIST_IT, values)
    return f"{like.partition('/')[0]}/gia-{number}"
