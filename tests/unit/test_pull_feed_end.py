"""Whether a feed that is not well-formed was received whole is told by its end, whatever stands there."""

from __future__ import annotations

import time

import pytest

from portalbus.connectors.pull.feed import TAIL, items_of
from portalbus.connectors.pull.web.client import Answer

ITEM = "<item><guid>1</guid><title>Thông báo & kết quả</title></item>"


def remarks_on(end: str) -> list[str]:
    """What is said of a feed that is not well-formed (`&`) and ends so."""
    text = f'<rss version="2.0"><channel>{ITEM}{end}'
    answer = Answer(200, "https://x.gov.vn/rss", {}, text.encode())
    return [remark.text for remark in items_of(answer)[1]]


@pytest.mark.parametrize(
    "end", ["</channel></rss>", "</channel></rss>\n<!-- 0,2 s --> <!-- máy 3 -->\n", "</rdf:RDF >"]
)
def test_a_feed_that_is_whole_keeps_its_last_item(end: str) -> None:
    assert not any("ends too early" in remark for remark in remarks_on(end))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "end", ["</rss>" + "<!---->" * 280 + "x", "</rss>" * (TAIL // 6) + "<!--", "</rss>" + " " * 2_000 + "x"]
)
def test_no_end_takes_long_to_look_at(end: str) -> None:
    begun = time.process_time()
    assert any("ends too early" in remark for remark in remarks_on(end))
    assert time.process_time() - begun < 2
