"""The documentation's site: built from the packages, whole without a network, and valid for machines."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from portalbus.infra.docs.asyncapi import asyncapi
from portalbus.infra.docs.catalogue import FROM_PORTALS, SNIPPETS, entries
from portalbus.infra.docs.openapi import openapi
from portalbus.infra.docs.site import PAGES, build, place
from portalbus.infra.docs.spoken import known_texts, spoken
from portalbus.schemas.avro_files import ALL_TYPES, history
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.models import PAYLOADS
from portalbus.schemas.topics import contracts
from portalbus.streams.metrics.defined import METRICS

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "infra" / "portalbus" / "infra" / "docs" / "templates"
ASYNCAPI = ROOT / "tests" / "data" / "published" / "asyncapi-3.0.0.json"


class Page(HTMLParser):
    """The links, the ids, what a browser would fetch, and what is said in the page's own language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.fetched: list[str] = []
        self.said: set[str] = set()
        self.language = ""
        self._open: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "html":
            self.language = given.get("lang") or ""
        elsewise = tag in ("code", "pre", "style") or given.get("lang", self.language) != self.language
        elsewise = elsewise or bool(self._open and self._open[-1][1])
        if not elsewise:
            self.said |= {given.get("aria-label") or "", given.get("alt") or "", given.get("title") or ""}
        if tag not in ("meta", "link", "img", "br", "hr"):
            self._open.append((tag, elsewise))
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag in ("link", "script", "img"):
            self.fetched.append(given.get("href") or given.get("src") or "")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            self.said.add(" ".join(data.split()))


def is_a_name(text: str) -> bool:
    """What is called the same in every language: programs, and what measures are called."""
    return text in {"portalbus", "webhook", version("portalbus")}


def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build(out, ROOT / "docs")
    return out


def test_every_link_leads_to_a_page_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = {path: page(path) for path in site.rglob("*.html")}
    assert len(pages) > 60
    for path, found_there in pages.items():
        assert all(not address.startswith(("http", "//")) for address in found_there.fetched), path
        for link in (*found_there.links, *found_there.fetched):
            if not link.startswith(("http:", "https:")):
                target, _, anchor = link.partition("#")
                found = (path.parent / target).resolve() if target else path
                assert found.exists(), f"{path}: {link}"
                assert not anchor or anchor in pages[found].ids or found.parent != site, f"{path}: {link}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_record_rule_and_metric_is_in_the_catalogue(site: Path, language: str) -> None:
    events, rules, metrics = (
        (site / place(f"{name}.html", language)).read_text("utf-8") for name in ("events", "rules", "metrics")
    )
    assert all(f'<h2 id="{name}">' in events for name in ALL_TYPES)
    assert all(f'<h2 id="{rule}">' in rules for rule in catalogue())
    assert all(
        metric.series in metrics and str(escape(getattr(metric.meaning, language))) in metrics for metric in METRICS
    )


def test_every_page_is_there_in_three_languages_and_leads_to_the_other_two(site: Path) -> None:
    in_english = {
        path.relative_to(site) for path in site.rglob("*.html") if path.relative_to(site).parts[0] not in LANGUAGES
    }
    for address in in_english:
        for language in LANGUAGES:
            path = site / place(address.as_posix(), language)
            found = page(path)
            assert found.language == language
            leads = {(path.parent / link.partition("#")[0]).resolve() for link in found.links}
            assert {site / place(address.as_posix(), other) for other in LANGUAGES} <= leads, path


def test_no_text_of_the_frame_and_the_catalogue_is_said_in_english_alone(site: Path) -> None:
    for name in ("index.html", "howto/gateway.html", *(f"{one}.html" for one in PAGES)):
        in_english = page(site / name).said
        for language in ("vi", "zh"):
            said_too = in_english & page(site / place(name, language)).said
            assert [text for text in said_too if re.search(r"[^\W\d_]{2,}", text) and not is_a_name(text)] == [], name


def test_an_english_text_left_in_a_template_is_found(site: Path) -> None:
    left = Page('<html lang="vi"><nav aria-label="Main"><a lang="en">x</a><p>Skip it</p><code>no</code></html>')
    assert {text for text in left.said if text} == {"Main", "Skip it"}


def test_every_text_is_said_in_three_languages_and_none_is_kept_for_nothing() -> None:
    used = {
        text for path in TEMPLATES.glob("*.html") for text in re.findall(r'say\("([^"]*)"', path.read_text("utf-8"))
    }
    used |= {who for topic in contracts() for who in (*topic.writers, *topic.readers)} | set(SNIPPETS)
    for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")):
        used.add(path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "))
    assert used == set(known_texts())
    for english, texts in known_texts().items():
        assert texts.vi and texts.zh and texts.zh not in (english, texts.vi), english


def test_a_page_in_another_language_says_that_its_text_is_english(site: Path) -> None:
    note = "This page was written in English; only what stands around it is in your language."
    for language in ("vi", "zh"):
        told = getattr(known_texts()[note], language)
        assert told in page(site / language / "howto" / "gateway.html").said
    # What was written in Vietnamese too needs no excuse.
    assert known_texts()[note].vi not in page(site / "vi" / "howto" / "office.html").said
    assert note not in page(site / "howto" / "gateway.html").said


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: str(entry.name))
def test_every_field_is_explained_and_every_version_has_a_verdict(entry: Any) -> None:
    assert [one.number for one in entry.versions] == [file.version for file in history(entry.name)]
    assert not any(one.problems for one in entry.versions)
    assert all(field.meaning.vi and field.meaning.en and field.meaning.zh for field in entry.fields)


def test_without_a_ledger_the_catalogue_says_that_nothing_was_measured(site: Path) -> None:
    assert "were not measured" in (site / "events.html").read_text("utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rule_stands_there_with_its_law_and_days_and_with_what_came_of_its_examples(
    site: Path, language: str
) -> None:
    text = (site / place("rules.html", language)).read_text("utf-8")
    sections = dict(re.findall(r'<h2 id="([^"]+)">(.*?)</section>', text, re.DOTALL))
    for rule in catalogue().values():
        said = sections[rule.id]
        assert str(escape(rule.what[language])) in said
        assert f"→ <code>{rule.id}</code>" in said
        days = (
            spoken(language, "from {first} on", first=rule.valid_from)
            if rule.valid_from
            else spoken(language, "always")
        )
        assert days in said
    assert "Decree 137/2024" in sections["refusal.needs-legal-basis"]


@pytest.mark.parametrize("name", FROM_PORTALS)
def test_the_event_to_copy_is_one_that_the_sdk_takes(name: str) -> None:
    event = json.loads(next(entry.cloud_event for entry in entries() if entry.name == name))
    PAYLOADS[name].model_validate_json(json.dumps(event["data"]))
    assert re.fullmatch(r"/[A-Z][0-9.]+/[a-z0-9._-]+", event["source"])


def test_the_asyncapi_document_is_valid_by_its_published_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(ASYNCAPI.read_text(encoding="utf-8"))
    document = asyncapi()
    jsonschema.Draft7Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**document, "operations": {"x": {"action": "shout"}}})


@pytest.mark.parametrize("name", ["central", "gateway"])
def test_the_openapi_document_is_valid_by_the_official_validator(name: str) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    validator.validate(openapi()[name])
