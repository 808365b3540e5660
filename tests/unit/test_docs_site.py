"""The documentation's site: built from the packages, whole without a network, and valid for machines."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from portalbus.infra.docs.asyncapi import asyncapi
from portalbus.infra.docs.catalogue import FROM_PORTALS, entries
from portalbus.infra.docs.openapi import openapi
from portalbus.infra.docs.site import build
from portalbus.schemas.avro_files import ALL_TYPES, history
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.models import PAYLOADS
from portalbus.streams.metrics.defined import METRICS

ROOT = Path(__file__).parents[2]
ASYNCAPI = ROOT / "tests" / "data" / "published" / "asyncapi-3.0.0.json"


class Page(HTMLParser):
    """The links, the ids, and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag in ("link", "script", "img"):
            self.fetched.append(given.get("href") or given.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build(out, ROOT / "docs")
    return out


def test_every_link_leads_to_a_page_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 20
    for path, page in pages.items():
        assert all(not address.startswith(("http", "//")) for address in page.fetched), path
        for link in (*page.links, *page.fetched):
            if not link.startswith(("http:", "https:")):
                target, _, anchor = link.partition("#")
                found = (path.parent / target).resolve() if target else path
                assert found.exists(), f"{path}: {link}"
                assert not anchor or anchor in pages[found].ids or found.parent != site, f"{path}: {link}"


def test_every_record_rule_and_metric_is_in_the_catalogue(site: Path) -> None:
    events, rules, metrics = ((site / f"{name}.html").read_text("utf-8") for name in ("events", "rules", "metrics"))
    assert all(f'<h2 id="{name}">' in events for name in ALL_TYPES)
    assert all(f'<h2 id="{rule}">' in rules for rule in catalogue())
    assert all(metric.series in metrics for metric in METRICS)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: str(entry.name))
def test_every_field_is_explained_and_every_version_has_a_verdict(entry: Any) -> None:
    assert [one.number for one in entry.versions] == [file.version for file in history(entry.name)]
    assert not any(one.problems for one in entry.versions)
    assert all(field.meaning.vi and field.meaning.en and field.meaning.zh for field in entry.fields)


def test_without_a_ledger_the_catalogue_says_that_nothing_was_measured(site: Path) -> None:
    assert "were not measured" in (site / "events.html").read_text("utf-8")


def test_a_rule_stands_there_with_its_law_and_days_and_with_what_came_of_its_examples(site: Path) -> None:
    page = (site / "rules.html").read_text("utf-8")
    sections = dict(re.findall(r'<h2 id="([^"]+)">(.*?)</section>', page, re.DOTALL))
    for rule in catalogue().values():
        said = sections[rule.id]
        assert all(str(escape(text)) in said for text in rule.what.values())
        assert f"→ <code>{rule.id}</code>" in said
        assert (f"from {rule.valid_from}" in said) if rule.valid_from else ("always" in said)
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
