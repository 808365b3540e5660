"""From a row to items: its id, its mark, and the fields of the payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from portalbus.connectors.pull import dates, naming
from portalbus.connectors.pull.found import FoundItem, Remark
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.mapping import mapped, rules
from portalbus.connectors.pull.redaction import redacted
from portalbus.connectors.pull.rows.columns import (
    DIRECTIVE_RULES,
    FEEDBACK_RULES,
    KEY,
    Columns,
    first_repeated,
    places_of,
)
from portalbus.connectors.pull.rows.settings import RowsConfig
from portalbus.connectors.pull.vietnamese_encodings import unmasked
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, FeedbackResolved

MARK_DIGITS = 32
MAX_ID_CHARACTERS = 500
BETWEEN_KEYS = "\x1f"


class RowReader:
    """Reads the rows of one table with these columns.

    Raises ReadFailed naming the column when one that the configuration names is not there.
    """

    def __init__(self, config: RowsConfig, names: Sequence[str], place: str) -> None:
        self._config = config
        self._columns = Columns(names)
        if (twice := first_repeated(names)) is not None:
            raise ReadFailed(place, f"the column {twice} is there twice", "give each column a name of its own")
        defaults = DIRECTIVE_RULES if config.brings == "directives" else FEEDBACK_RULES
        self._rules = rules(defaults, config.mapping)
        for name, rule in config.mapping.items():
            for column in places_of(rule):
                if self._columns.find(column) is None and not (len(rule.sources) > 1):
                    mend = f"Add it, or change mapping.{name} of {config.entry}"
                    raise ReadFailed(place, f"{self._columns.absent(column)} ({name} comes from it)", mend)
        self.keys = self._key_places(place)
        # Names are compared once, not once a row.
        self._places = {name: self._columns.find(name) for rule in self._rules.values() for name in places_of(rule)}

    @property
    def needed(self) -> tuple[int, ...]:
        """The places of the columns that anything comes from; no others need be read."""
        wanted = {place for place in self._places.values() if place is not None}
        return tuple(sorted(wanted | set(self.keys)))

    def column(self, name: str, place: str) -> int:
        """Where a column stands that the configuration names. Raises ReadFailed."""
        found = self._columns.find(name)
        if found is None:
            raise ReadFailed(place, self._columns.absent(name), f"Add it, or change it in {self._config.entry}")
        return found

    def id(self, values: Sequence[Any]) -> str:
        """The row's id, empty when its key is: such a row cannot be told apart."""
        parts = [_key(values[place]) for place in self.keys]
        return BETWEEN_KEYS.join(parts)[:MAX_ID_CHARACTERS] if all(parts) else ""

    def items(self, values: Sequence[Any], item_id: str, mark: str) -> tuple[FoundItem, ...]:
        """The directive of a row, or its feedback, followed by the answer when the row holds one."""

        def look(column: str) -> Any:
            place = self._places[column]
            return None if place is None or place >= len(values) else self._clean(values[place])

        data = mapped(self._rules, look)
        if self._config.brings == "directives":
            return (FoundItem(item_id, _fields(data, DirectivePublished), url=_url(data), mark=mark),)
        return tuple(self._feedback(data, item_id, mark))

    def _feedback(self, data: dict[str, Any], item_id: str, mark: str) -> Iterable[FoundItem]:
        config = self._config
        said = {"addressed_to": config.agency, **_fields(data, FeedbackReceived)}
        for name in ("subject", "content"):
            if isinstance(said.get(name), str):
                said[name] = redacted(said[name])
        received = dates.moment(said.get("received_at"))
        yield FoundItem(item_id, said, FeedbackReceived.event_type, occurred_at=received, mark=mark)
        if data.get("outcome"):
            case = data.get("case_id") or naming.case_id(config.agency, config.portal, config.entry, item_id)
            answer = {**_fields(data, FeedbackResolved), "case_id": case}
            answered = dates.moment(answer.get("answered_at"))
            answer_id = f"{item_id}#resolved"
            yield FoundItem(answer_id, answer, FeedbackResolved.event_type, occurred_at=answered, mark=mark)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str) and self._config.text == "tcvn3":
            return unmasked(value)
        return value

    def _key_places(self, place: str) -> tuple[int, ...]:
        if not self._config.key:
            for usual in KEY:
                if (found := self._columns.find(usual)) is not None:
                    return (found,)
            mend = f"Say which columns tell rows apart: `key: …` of {self._config.entry}"
            raise ReadFailed(place, self._columns.absent(KEY[0]), mend)
        return tuple(self.column(name, place) for name in self._config.key)


def _key(value: Any) -> str:
    """One part of an id; spreadsheets keep every number as a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def mark_of(values: Iterable[Any]) -> str:
    """What changes when any value of a row does."""
    return sha256("\x1f".join(map(repr, values)).encode("utf-8", "surrogatepass")).hexdigest()[:MARK_DIGITS]


def without_id(place: str) -> Remark:
    """What is said of a row that has no id."""
    return Remark(place, "its key is empty, so it cannot be told apart from others; left out")


def _fields(data: Mapping[str, Any], model: type[DirectivePublished | FeedbackReceived | FeedbackResolved]) -> Any:
    return {name: value for name, value in data.items() if name in model.model_fields}


def _url(data: Mapping[str, Any]) -> str:
    url = data.get("canonical_url", "")
    return url if isinstance(url, str) else ""
