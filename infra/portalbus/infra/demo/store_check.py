"""Is the store what was sent? Every directive version and every case, field by field, and nothing beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from portalbus.infra.demo.expectation import Expectation
from portalbus.schemas.models import DirectivePublished

DIRECTIVES = """
    select key, agency, directive_id, version, withdrawn, number, document_type, title, language, field, issued_on
    from ledger.directive where position > %s
"""
VERSIONS = "select key, version, action, document from ledger.directive_version where position > %s"
CASES = "select * from ledger.case where position > %s"
LONGEST_SHOWN = 60


def check_store(connection: Connection[TupleRow], expected: Expectation, since: int) -> list[str]:
    """Every difference between the store and the expectation, in the rows written after a ledger position."""
    cursor = connection.cursor(row_factory=dict_row)
    directives = {row["key"]: row for row in cursor.execute(DIRECTIVES, (since,))}
    versions = {(row["key"], row["version"]): row for row in cursor.execute(VERSIONS, (since,))}
    cases = {row["case_id"]: row for row in cursor.execute(CASES, (since,))}
    wanted_versions = {
        (key, number): payload
        for key, directive in expected.directives.items()
        for number, payload in directive.versions.items()
    }
    return [
        *_compare("directive", {key: directive.row() for key, directive in expected.directives.items()}, directives),
        *_compare_versions(wanted_versions, versions),
        *_compare("case", {key: case.row() for key, case in expected.cases.items()}, cases),
    ]


def _compare(kind: str, wanted: Mapping[str, dict[str, Any]], found: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield from _presence(kind, wanted, found)
    for key in wanted.keys() & found.keys():
        for name, value in wanted[key].items():
            if found[key][name] != value:
                yield f"{kind} {key}: {name} is {_shown(found[key][name])}, not {_shown(value)}"


def _compare_versions(
    wanted: Mapping[tuple[str, int], DirectivePublished], found: Mapping[tuple[str, int], dict[str, Any]]
) -> Iterator[str]:
    yield from _presence("version", wanted, found)
    for place in wanted.keys() & found.keys():
        document = DirectivePublished.model_validate(found[place]["document"])
        for name, value in wanted[place]:
            if getattr(document, name) != value:
                yield f"version {place}: {name} is {_shown(getattr(document, name))}, not {_shown(value)}"
        if found[place]["action"] != wanted[place].action.value:
            yield f"version {place}: action is {found[place]['action']}, not {wanted[place].action.value}"


def _presence(kind: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    for key in sorted(wanted.keys() - found.keys()):
        yield f"{kind} {key}: was sent and is not in the store"
    for key in sorted(found.keys() - wanted.keys()):
        yield f"{kind} {key}: is in the store and was not sent"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} characters)"
