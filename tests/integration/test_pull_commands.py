"""`portalbus connect`: what would be published, what is refused and why, how portals are doing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_site import LocalSite, notice, rss
from portalbus.connectors.pull.config_file import read_config
from portalbus.infra.cli.app import run
from pulled_portal import Pulled, written

XML = "application/rss+xml; charset=utf-8"


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


@pytest.fixture
def config(site: LocalSite, tmp_path: Path) -> Path:
    site.put("/rss", rss([notice(site, 1), notice(site, 2), notice(site, 3, description=" ")]), XML)
    return written(
        tmp_path,
        {"kind": "feed", "address": site.url + "/rss"},
        {"portal": "so-yt", "kind": "feed", "address": site.url + "/nowhere"},
    )


def test_try_shows_what_would_be_published_and_why_something_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["connect", "try", str(config), "--json"]) == 1
    well, broken = json.loads(capsys.readouterr().out)
    assert [one["item"] for one in well["would_publish"]] == ["tin-1", "tin-2"]
    assert well["would_publish"][0]["payload"]["title"] == "Thông báo số 1 về phòng chống bão"
    (refused,) = well["would_refuse"]
    assert (refused["item"], refused["findings"][0]["rule"]) == ("tin-3", "schema.field-missing")
    assert "the feed is gone: it answers 404" in broken["failed"]
    assert not list(config.parent.glob("memory/*")) + list(config.parent.glob("outbox/*"))


@pytest.mark.parametrize("language", ["vi", "en", "zh"])
def test_try_explains_in_the_language_asked_for(
    language: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["connect", "try", str(config), "--portal", "H26/www", "--lang", language]) == 1
    said = capsys.readouterr().out
    assert "+ publication tin-1: Thông báo số 1" in said
    assert "[schema.field-missing] /body:" in said
    assert {"vi": "Thiếu", "en": "missing", "zh": "缺少"}[language] in said


def test_try_says_no_more_than_is_new_after_a_pass(
    config: Path, site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = Pulled(read_config(config))
    portal.once()
    site.put("/rss", rss([notice(site, 1), notice(site, 2, "Nội dung mới."), notice(site, 3)]), XML)
    assert run(["connect", "try", str(config), "--portal", "H26/www", "--json"]) == 0
    (trial,) = json.loads(capsys.readouterr().out)
    assert {(one["what"], one["item"]) for one in trial["would_publish"]} == {
        ("revision", "tin-2"),
        ("publication", "tin-3"),
    }
    assert trial["unchanged"] == 1
    assert len(portal.published()) == 2


def test_status_tells_failures_alerts_and_refusals_and_accept_lets_an_alert_pass(
    config: Path, site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = Pulled(read_config(config))
    portal.once()
    assert run(["connect", "status", str(config), "--portal", "H26/www"]) == 0
    said = capsys.readouterr().out
    assert "2 published, 0 withdrawn, 1 refused" in said
    assert "refused tin-3: [schema.field-missing] at /body" in said
    site.put("/rss", rss([]), XML)
    portal.once(hours=1)
    assert run(["connect", "status", str(config), "--portal", "H26/www"]) == 1
    assert "pull.listing-empty" in capsys.readouterr().out
    assert run(["connect", "accept", str(config), "--portal", "H26/www"]) == 0
    portal.once(hours=1)
    assert run(["connect", "status", str(config), "--portal", "H26/www", "--json"]) == 0


@pytest.mark.parametrize("command", ["try", "run", "status"])
def test_a_mistake_in_the_file_is_wrong_usage(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"kind": "fed", "address": "x"})
    assert run(["connect", command, str(path)]) == 2
    assert "no such kind: fed" in capsys.readouterr().err


def test_an_unknown_portal_is_named_with_those_there_are(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["connect", "try", str(config), "--portal", "H99/www"]) == 2
    assert "there are H26/www, H26/so-yt" in capsys.readouterr().err
