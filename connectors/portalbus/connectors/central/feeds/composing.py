"""What a feed says, in the language of its page."""

from __future__ import annotations

from urllib.parse import quote

from portalbus.connectors.central.bodies import plain_text
from portalbus.connectors.central.document_types import document_type_name
from portalbus.connectors.central.feeds.addresses import feed_query
from portalbus.connectors.central.feeds.feed import Entry, Feed, directive_entry_id, event_entry_id, lasting_id
from portalbus.connectors.central.pages.page import Page
from portalbus.connectors.central.rendering import directive_path
from portalbus.streams.reading.accepted import AcceptedRow, DirectiveTexts
from portalbus.streams.reading.directives import DirectiveRow

SUMMARY_CHARACTERS = 500
WITHDRAWN = "withdrawn"


class Composer:
    """Composes feeds for one page's language; `base` is the portal's address without a slash at its end."""

    def __init__(self, page: Page, base: str) -> None:
        self._page = page
        self._words = page.words
        self._base = base

    def feed(self, event_type: str, agency: str | None, language: str | None, entries: tuple[Entry, ...]) -> Feed:
        """The feed around its entries."""
        words = self._words
        parts = [words.name("event_type", event_type)]
        parts += [self._page.agency_name(agency)] if agency else []
        parts += [words.name("tongue", language)] if language else []
        query = feed_query(event_type, agency, language)
        here = self._page.language
        place = f"/{here}/agencies/{quote(agency, safe='')}" if agency else f"/{here}/"
        return Feed(
            id=lasting_id("feed", here, event_type, agency or "", language or ""),
            title=f"{' · '.join(parts)} – {words('site.name')}",
            subtitle=words("feed.subtitle") if event_type == "DirectivePublished" else words("feed.subtitle_feedback"),
            author=words("site.name"),
            language=here,
            link=self._base + place,
            addresses={form: f"{self._base}/{here}/feed.{form}{query}" for form in ("atom", "rss")},
            entries=entries,
        )

    def directive(self, row: DirectiveRow, texts: DirectiveTexts | None) -> Entry:
        """A directive at its newest version; a withdrawn one says so, and why."""
        words = self._words
        marks = [(row.document_type, document_type_name(row.document_type, words.language))]
        title = f"{row.number}: {row.title}" if row.number else row.title
        summary = excerpt(plain_text(texts.text, texts.body_format)) if texts else ""
        if row.withdrawn:
            marks.append((WITHDRAWN, words("directive.withdrawn")))
            title = words("feed.withdrawn", title=title)
            reason = texts.withdrawal_reason if texts else None
            explained = words("directive.withdrawn_reason", reason=reason) if reason else None
            summary = explained or words("directive.withdrawn_title")
        return Entry(
            id=directive_entry_id(row.key),
            title=title,
            link=self._base + directive_path(words.language, row.key),
            published=row.published_at,
            updated=row.changed_at,
            author=self._page.agency_name(row.agency),
            summary=summary,
            language=row.language,
            marks=tuple(marks),
            data_link=f"{self._base}/api/v1/directives/{row.agency}/{quote(row.directive_id)}",
        )

    def feedback(self, row: AcceptedRow) -> Entry:
        """A step of a case as everybody may know it: which body, what kind, what came out. Not which case."""
        words, said = self._words, row.said
        agency = self._page.agency_name(row.agency)
        category = words.name("category", said["category"])
        marks = [(str(said["regime"]), words.name("regime", said["regime"]))]
        if row.event_type == "FeedbackReceived":
            title = words("feed.received", agency=agency, category=category)
            summary = f"{marks[0][1]} · {words.name('channel', said['channel'])}"
        else:
            outcome = str(said["outcome"])
            marks.append((outcome, words.name("outcome", outcome)))
            title = words("feed.resolved", agency=agency, category=category, outcome=words.name("outcome", outcome))
            summary = self._resolution(agency, said)
        return Entry(
            id=event_entry_id(row.event_id),
            title=title,
            link=f"{self._base}/{words.language}/agencies/{quote(row.agency.split('.')[0])}",
            published=row.received_at,
            updated=row.received_at,
            author=agency,
            summary=summary,
            language=words.language,
            marks=tuple(marks),
        )

    def _resolution(self, agency: str, said: dict[str, object]) -> str:
        words = self._words
        outcome = str(said["outcome"])
        lines = [words(f"outcome_text.{outcome}", agency=agency)] if words.has(f"outcome_text.{outcome}") else [outcome]
        if said["reason_code"]:
            lines.append(words.name("reason", said["reason_code"]))
        lines += [excerpt(str(said[name])) for name in ("reason_text", "answer") if said[name]]
        return "\n".join(lines)


def excerpt(text: str) -> str:
    """The beginning of a text, cut between words."""
    words = " ".join(text.split())
    if len(words) <= SUMMARY_CHARACTERS:
        return words
    cut = words[: SUMMARY_CHARACTERS + 1].rpartition(" ")[0] or words[:SUMMARY_CHARACTERS]
    return f"{cut} …"
