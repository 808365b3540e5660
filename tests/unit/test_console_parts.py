"""The small parts of the console: its texts, passwords, charts, tiles and conditions."""

from __future__ import annotations

import asyncio
import re
import string
import time
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from portalbus.connectors.central.wording import all_words
from portalbus.connectors.console.board import Board, Tile, tiles_of
from portalbus.connectors.console.charts import due_chart, latency_chart, rate_chart
from portalbus.connectors.console.deciding import Ended
from portalbus.connectors.console.journal import What
from portalbus.connectors.console.office import PACKAGE
from portalbus.connectors.console.passwords import hashed, matches, new_password
from portalbus.connectors.console.sessions import csrf_of
from portalbus.connectors.console.threads import OfficeThreads
from portalbus.schemas.alert_texts import alert_kinds
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.models import VerdictStatus
from portalbus.streams.reading.condition import Condition, TroubleKind
from portalbus.streams.reading.due import DueDay
from portalbus.streams.reading.pace import Pace
from portalbus.streams.reading.search_shelves import Window
from portalbus.streams.reconciling.difference import Kind, Place

CONSOLE = Path(str(files(PACKAGE)))
TEMPLATES = sorted((CONSOLE / "templates").glob("*.html"))
OWN = {name: all_words(PACKAGE)[name] for name in LANGUAGES}
KEYS = sorted(OWN["vi"].keys - all_words()["vi"].keys)
KEY = re.compile(r'\bt(?:\.count)?\(\s*"([a-z_]+\.[A-Za-z0-9_.-]+)"\s*[,)]')
NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


def places(text: str) -> set[str]:
    """The names of the {places} in a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_texts_are_the_same_in_three_languages() -> None:
    assert OWN["vi"].keys == OWN["en"].keys == OWN["zh"].keys
    for key in KEYS:
        texts = [OWN[language](key) for language in LANGUAGES]
        assert all(text.strip() for text in texts), key
        assert places(texts[0]) == places(texts[1]) == places(texts[2]), key


def test_no_text_is_left_in_another_language() -> None:
    marks = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
    for key in KEYS:
        assert not re.search(r"[\u4e00-\u9fff]", OWN["vi"](key) + OWN["en"](key)), key
        assert not marks.search(OWN["en"](key) + OWN["zh"](key)), key


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_text_of_its_own_and_every_key_it_uses_exists(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    for key in KEY.findall(source):
        assert key in OWN["vi"].keys or f"{key}.other" in OWN["vi"].keys, key
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", source, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", bare)
    assert not re.search(r"[^\W\d_]{2,}", shown), re.findall(r"[^\W\d_]{2,}", shown)


def test_whatever_can_happen_has_a_text() -> None:
    words = OWN["en"]
    for what in What:
        assert all(words.has(f"{group}.{what}") for group in ("act", "act_text", "deed", "done")), what
    outcomes = "running same still nothing busy unreachable interrupted failed said refused"
    for outcome in outcomes.split():
        assert words.has(f"ended.{outcome}"), Ended(outcome)
    for trouble in TroubleKind:
        assert words.has(f"trouble_short.{trouble}.other"), trouble
        assert words.has(f"trouble.{trouble}") or words.has(f"trouble.{trouble}.other"), trouble
    assert all(words.has(f"verdict.{status.value}") for status in VerdictStatus)
    assert all(words.has(f"drift_kind.{kind.value}.one") for kind in Kind)
    assert all(words.has(f"drift_place.{place.value}") for place in Place)


@pytest.mark.parametrize("kind", sorted(alert_kinds()))
def test_every_kind_of_alert_says_what_an_office_can_do(kind: str) -> None:
    assert all(OWN[language].has(f"alert_text.{kind}") for language in LANGUAGES)


def test_no_alert_has_a_text_that_is_none() -> None:
    told = {key.removeprefix("alert_text.") for key in KEYS if key.startswith("alert_text.")}
    assert told == set(alert_kinds())


def test_a_password_is_known_by_its_hash_alone() -> None:
    password = new_password()
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", password)
    kept = hashed(password)
    assert password not in kept
    assert kept != hashed(password)
    assert matches(password, kept)
    assert not matches(password + "x", kept)
    begun = time.perf_counter()
    assert not matches("guess", kept)
    assert time.perf_counter() - begun > 0.02, "a guess costs too little"
    with pytest.raises(ValueError, match="12 to 256"):
        hashed("too short")


def test_what_a_form_carries_follows_from_the_session_and_does_not_give_it_away() -> None:
    assert csrf_of("a" * 43) == csrf_of("a" * 43)
    assert csrf_of("a" * 43) != csrf_of("b" * 43)
    assert "a" * 43 not in csrf_of("a" * 43)


def condition(agency: str = "H26", **values: object) -> Condition:
    """A source that is in step, but for what is said."""
    given: dict[str, object] = dict.fromkeys(Condition.__dataclass_fields__)
    given |= {"agency": agency, "portal": "www", "status": "active", "state": "ok", "first_heard_at": NOW}
    given |= dict.fromkeys(("missing", "parked", "differing", "waiting"), 0)
    return Condition(**{**given, **values})  # type: ignore[arg-type]


def test_a_source_is_in_step_since_the_last_trouble_ended_and_out_of_it_since_the_first_began() -> None:
    later = NOW + timedelta(hours=1)
    assert condition().in_step
    assert condition(waiting=3, state="quiet").in_step
    assert condition(mended_at=later, state_since=NOW).since == later
    out = condition(missing=2, missing_since=later, parked=1, parked_since=NOW, state="late", state_since=later)
    assert [trouble.kind.value for trouble in out.troubles] == ["missing", "parked", "late"]
    assert out.since == NOW
    assert not condition(status="blocked").in_step


def test_the_sources_of_an_agency_make_one_tile() -> None:
    rows = [condition(), condition(portal="b", missing=2, missing_since=NOW), condition("H26.12", differing=1)]
    tiles = tiles_of([*rows, condition("H29", state="late", state_since=NOW), condition("H57")])
    assert [(tile.agency, tile.state, tile.sources) for tile in tiles.values()] == [
        ("H26", "out", 3),
        ("H29", "out", 1),
        ("H57", "in", 1),
    ]
    told = tiles_of(rows, {"H26.12": 1, "H26": 2, "H01": 1})
    assert [(tile.agency, tile.state, tile.alerts) for tile in told.values()] == [
        ("H26", "out", 3),
        ("H01", "never", 1),
    ]
    assert tiles["H26"].troubles == ((TroubleKind.DIFFERS, 1), (TroubleKind.MISSING, 2))
    assert (tiles["H26"].grave, tiles["H29"].grave) == (True, False)


def test_charts_stay_within_their_pictures() -> None:
    slices = [Pace(NOW + timedelta(minutes=30 * n), n * 37, n, 0.001 * n or None, 40.0 * n or None) for n in range(48)]
    rate = rate_chart(slices)
    assert rate.top == 2000
    assert all(0 <= bar.y <= bar.y + bar.height <= 120.05 and bar.refused <= bar.height for bar in rate.bars)
    latency = latency_chart(slices)
    assert latency is not None
    points = [float(y) for line in (*latency.medians, *latency.p95s) for y in re.findall(r",([0-9.-]+)", line)]
    assert all(0 <= y <= 120 for y in points)
    due = due_chart([DueDay(NOW.date() + timedelta(days=n), n, 13 - n, n % 3) for n in range(14)], NOW.date())
    for bar in due.bars:
        for (y, height), (below, _) in pairwise((bar.owed, bar.late, bar.in_time, (120.0, 0.0))):
            assert 0 <= y <= 120
            assert y + height == pytest.approx(below, abs=0.11)
    assert (due.in_time, due.late, due.owed, due.today) == (91, 91, 13, 0)
    nothing = [Pace(NOW, 0, 0, None, None)]
    assert rate_chart(nothing).bars == ()
    assert latency_chart(nothing) is None


async def first_of(board: Board) -> Mapping[str, Tile]:
    """The first thing that a listener is told while nothing changes."""
    async with aclosing(board.follow(anyio.Event(), 0.01)) as changes:
        return await anext(changes)


def test_a_listener_comes_round_also_while_nothing_changes() -> None:
    assert asyncio.run(first_of(Board("", OfficeThreads("postgresql://127.0.0.1:9/none")))) == {}


def test_a_window_knows_its_months_and_what_cannot_be_in_it() -> None:
    day = NOW.date()
    window = Window(day, day + timedelta(days=60))
    assert 2 <= len(window.months) <= 3
    assert not window.touches(None, day - timedelta(days=1))
    assert not window.touches(day + timedelta(days=60), None)
    assert window.touches(day + timedelta(days=59), None)
    assert window.touches(None, day)
    others = Window(day, day + timedelta(days=60), outside=True)
    assert len(others.months) == 0
    assert others.touches(day, day)
