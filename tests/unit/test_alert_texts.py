"""Every kind of alert says the same in three languages, when it is raised and when it is over."""

from __future__ import annotations

from string import Formatter

import pytest

from portalbus.schemas.alert_texts import alert_kinds, alert_message
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.notices import AlertStatus
from portalbus.streams.silence import judging
from portalbus.streams.silence.clock_alerts import CLOCK_OFF

GIVEN = {"source", "agency", "portal", "event_type", "since", "expected_by", "until"}
OF_THEIR_OWN = {
    **{key: {"count", "case"} for key in ("case.overdue", "case.progress-due", "case.escalated", "case.in-digest")},
    "feedback.surge": {"series", "observed", "expected", "examples"},
    "feedback.repeated": {"series", "observed", "examples"},
    "refusal.copied": {"observed", "examples"},
    "portal.items-missing": {"entry"},
    "portal.unreadable": {"entry"},
    "store.differs": {"differences"},
    "lane.unheard": {"lanes"},
    "source.clock-off": {"lead"},
    "parking.stopped": {"parked", "recent", "limit"},
}


@pytest.mark.parametrize("kind", sorted(alert_kinds()))
def test_a_kind_speaks_three_languages_with_the_same_places(kind: str) -> None:
    for status in AlertStatus:
        texts = alert_kinds()[kind][status.value.lower()]
        assert set(texts) == set(LANGUAGES)
        places = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in texts.values()]
        assert places[0] == places[1] == places[2]
        assert places[0] <= GIVEN | OF_THEIR_OWN.get(kind, set())


def test_the_watch_has_texts_for_all_it_raises() -> None:
    kinds = {judging.SOURCE_SILENT, judging.EVENT_TYPE_SILENT, judging.CANARY_LATE, judging.LANE_UNHEARD, CLOCK_OFF}
    assert kinds <= set(alert_kinds())


def test_a_place_that_nobody_filled_shows_as_an_ellipsis() -> None:
    assert "H26/www" in alert_message("source.silent", AlertStatus.OPEN, {"source": "H26/www"}).vi
    assert "…" in alert_message("source.silent", AlertStatus.OPEN, {}).en
