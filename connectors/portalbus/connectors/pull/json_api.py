"""The kind `json`: an API that answers with JSON, page after page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field, model_validator

from portalbus.connectors.pull import dates
from portalbus.connectors.pull.config import Strict
from portalbus.connectors.pull.found import Before, FoundItem, Known, Listing, Presence, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadFailed, ReadOnlySource, Surroundings
from portalbus.connectors.pull.mapping import mapped, rules
from portalbus.connectors.pull.web import encodings
from portalbus.connectors.pull.web.attachments import completed
from portalbus.connectors.pull.web.client import Answer, origin, shown
from portalbus.connectors.pull.web.html_text import looks_like_html
from portalbus.connectors.pull.web.presence import presence_of
from portalbus.connectors.pull.web.record import unmasked
from portalbus.connectors.pull.web.settings import WebPortalConfig

DEFAULTS: Mapping[str, Any] = {
    "title": "title",
    "abstract": ["abstract", "summary"],
    "body": ["body", "content"],
    "number": {"from": "number", "default": ""},
    "document_type": {"from": "document_type", "default": "TIN"},
    "language": {"from": "language", "default": "vi"},
    "issued_on": ["issued_on", "published_at", "published", "date"],
    "canonical_url": ["canonical_url", "url", "link"],
}


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"{text} is no JMESPath: {error}") from None
    return text


Expression = Annotated[str, AfterValidator(_expression)]


class PagingBy(StrEnum):
    """How an API is asked for the next page."""

    NONE = "none"
    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"


class Paging(Strict):
    """How to go on. `page` and `offset` count in `parameter` from `first`, until a page is empty or shorter than
    `size`; `cursor` puts what `next` finds into `parameter`; `link` follows the address that `next` finds, or the
    Link header. At most `pages` are read: more than that is a mistake, and nothing is decided on.
    """

    by: PagingBy = PagingBy.NONE
    parameter: str = ""
    first: Annotated[int, Field(ge=0)] = 1
    size: Annotated[int, Field(ge=1)] | None = None
    size_parameter: str = ""
    next: Expression | None = None
    pages: Annotated[int, Field(ge=1, le=10_000)] = 200

    @model_validator(mode="after")
    def _is_complete(self) -> Paging:
        if self.by in (PagingBy.PAGE, PagingBy.OFFSET, PagingBy.CURSOR) and not self.parameter:
            raise ValueError(f"paging by {self.by} needs parameter, the name in the query")
        if self.by is PagingBy.CURSOR and self.next is None:
            raise ValueError("paging by cursor needs next, the JMESPath of the next cursor in the answer")
        if self.by is PagingBy.OFFSET and self.size is None:
            raise ValueError("paging by offset needs size, the number of items of a page")
        return self


class JsonConfig(WebPortalConfig):
    """Settings of a JSON API. `items` is the JMESPath of the list in the answer, `id` and `updated` those of the id and
    the moment of the last change in an item; the mapping's places are JMESPaths in an item too. `listing` says whether
    all that stands is listed (`complete`), or the newest (`window`).
    """

    items: Expression = "@"
    id: Expression = "id"
    updated: Expression = "updated_at"
    listing: Annotated[str, Field(pattern="^(complete|window)$")] = "complete"
    paging: Paging = Paging()

    @property
    def asks_pages(self) -> bool:
        """Where the newest items only are listed."""
        return self.listing == "window"

    @model_validator(mode="after")
    def _places_are_expressions(self) -> JsonConfig:
        for rule in self.mapping.values():
            for place in rule.sources:
                _expression(place)
        return self


class JsonApi(ReadOnlySource):
    """One JSON API."""

    def __init__(self, config: JsonConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._rules = rules(DEFAULTS, config.mapping)
        self._client = surroundings.web()
        secrets = {name: surroundings.secret(value) for name, value in config.headers.items()}
        self._headers = {"Accept": "application/json", **secrets}
        self._remarks: list[Remark] = []

    def read(self, before: Before) -> Reading:
        """All items of all pages; a page that cannot be read fails the whole reading, as half a list is none."""
        alone = self._config.paging.by is PagingBy.NONE
        url = self._first()
        first = self._get(url, before.cursor if alone else {})
        if first.status == 304:
            return Reading(listing=Listing.UNCHANGED, cursor=before.cursor)
        found = []
        for number, (place, item) in enumerate(self._items(url, first), 1):
            record = self._item(place, number, item, before)
            if record is not None:
                found.append(record)
            if len(found) > self._config.max_items:
                break  # the engine says so
        listing = Listing.COMPLETE if self._config.listing == "complete" else Listing.WINDOW
        cursor = {"etag": first.etag, "modified": first.modified} if alone and not self._remarks else {}
        return Reading(tuple(found), listing, cursor=cursor, remarks=tuple(self._remarks))

    def ask(self, item: Known) -> Presence:
        """Asks the item's page."""
        return presence_of(self._client, item.url, {}, self._config.robots)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def _get(self, url: str, cursor: Mapping[str, Any]) -> Answer:
        answer = self._client.get(
            url,
            etag=str(cursor.get("etag", "")),
            modified=str(cursor.get("modified", "")),
            headers=self._headers,
            robots=self._config.robots,
        )
        if answer.status in (404, 410):
            mend = "Ask the portal where it is now, and change the address; nothing was withdrawn"
            raise ReadFailed(shown(url), f"the API is gone: it answers {answer.status}", mend, refused=True)
        return answer

    def _items(self, url: str, first: Answer) -> Iterator[tuple[str, Any]]:
        """Each item with its place, over all pages."""
        paging, answer = self._config.paging, first
        seen, digests = {url}, set()
        for number in range(1, paging.pages + 1):
            said = self._parsed(answer)
            items = jmespath.search(self._config.items, said)
            if items is None or not isinstance(items, list):
                what = "null" if items is None else type(items).__name__
                raise ReadFailed(
                    shown(url), f"{self._config.items} is {what}, not a list", "Change items: to where it is"
                )
            digest = sha256(answer.content).digest()
            if number > 1 and items and digest in digests:
                raise ReadFailed(shown(url), "its pages repeat: the same one came twice", "Check paging: parameter")
            digests.add(digest)
            yield from ((f"{shown(url)} page {number}", item) for item in items)
            following = self._following(url, said, answer, len(items), number)
            if following is None:
                return
            if following in seen:
                raise ReadFailed(shown(url), "its pages go in a circle", "Check paging:")
            seen.add(following)
            url = following
            answer = self._get(url, {})
        raise ReadFailed(shown(url), f"more than {paging.pages} pages", "Raise paging.pages, or check paging:")

    def _first(self) -> str:
        paging = self._config.paging
        query = {}
        if paging.by in (PagingBy.PAGE, PagingBy.OFFSET):
            query[paging.parameter] = str(paging.first if paging.by is PagingBy.PAGE else 0)
        if paging.size_parameter and paging.size:
            query[paging.size_parameter] = str(paging.size)
        return _with_query(self._config.address, query) if query else self._config.address

    def _following(self, url: str, said: Any, answer: Answer, count: int, number: int) -> str | None:
        paging = self._config.paging
        if paging.by is PagingBy.NONE:
            return None
        if paging.by in (PagingBy.PAGE, PagingBy.OFFSET):
            if not count or (paging.size is not None and count < paging.size):
                return None
            step = paging.first + number if paging.by is PagingBy.PAGE else number * (paging.size or 0)
            return _with_query(url, {paging.parameter: str(step)})
        found = jmespath.search(paging.next, said) if paging.next else None
        if paging.by is PagingBy.CURSOR:
            return _with_query(url, {paging.parameter: str(found)}) if found else None
        address = str(found) if found else _link_header(answer.headers.get("link", ""))
        if not address:
            return None
        address = urljoin(url, address)
        if origin(address) != origin(self._config.address):
            raise ReadFailed(shown(url), "its next page is on another host", "Give the address of that host")
        return address

    def _parsed(self, answer: Answer) -> Any:
        place = shown(answer.url)
        decoded = encodings.decode(answer.content, answer.charset, place, self._config.encoding)
        if decoded.remark:
            self._remarks.append(Remark(place, decoded.remark))
        try:
            return json.loads(decoded.text)
        except (ValueError, RecursionError) as error:
            said = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
            raise ReadFailed(
                place, f"the answer is no JSON ({said})", "Is it the address of the API, not a page?"
            ) from None

    def _item(self, place: str, number: int, item: Any, before: Before) -> FoundItem | None:
        name = jmespath.search(self._config.id, item) if isinstance(item, dict) else None
        if name is None or isinstance(name, (dict, list)) or not str(name).strip():
            self._remarks.append(Remark(f"{place}, item {number}", f"it has no {self._config.id}; left out"))
            return None
        data = unmasked(mapped(self._rules, lambda path: jmespath.search(path, item)))
        if "body_format" not in data:
            data["body_format"] = "HTML" if looks_like_html(str(data.get("body", ""))) else "TEXT"
        known = before.known.get(str(name))
        remarks: list[Remark] = []
        if (given := data.pop("attachments", None)) and self._config.attachments:
            files, remarks = completed(given, self._config.address, known.data if known else {}, self._client)
            data |= {"attachments": files} if files else {}
        changed = dates.moment(jmespath.search(self._config.updated, item))
        return FoundItem(
            str(name),
            data,
            url=str(data.get("canonical_url", "")),
            occurred_at=dates.utc(changed) if changed else None,
            remarks=tuple(remarks),
        )


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def _link_header(text: str) -> str:
    """The address of the next page in a Link header (RFC 8288), empty for none."""
    for part in text.split(","):
        address, _, parameters = part.partition(";")
        if 'rel="next"' in parameters.replace(" ", "") or "rel=next" in parameters.replace(" ", ""):
            return address.strip().strip("<>")
    return ""


JSON_API = Kind("json", JsonConfig, JsonApi, DEFAULTS)
