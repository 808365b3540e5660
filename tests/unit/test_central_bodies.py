"""Bodies are shown as they were published: text to the character, HTML without anything that could do harm."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_rows import ARTICLE_NAMES, article_text
from portalbus.connectors.central.bodies import exact_text, plain_text, sanitised_html, shown_body
from portalbus.schemas.models import BodyFormat


class TextReader(HTMLParser):
    """Keeps the text between the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


class AttributeReader(HTMLParser):
    """Keeps which attributes there are; the words in a title are anybody's, those in a class are not."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(name, None if name == "title" else value) for name, value in attrs]


def bare_in_attributes(html: str) -> str:
    """As older sanitisers write it: `<` and `>` in attributes stand for themselves."""
    return re.sub(r'"[^"]*"(?=[^<]*>)', lambda found: found[0].replace("&lt;", "<").replace("&gt;", ">"), html)


def text_content(markup: str) -> str:
    """What a parser reads back from escaped text."""
    reader = TextReader()
    reader.feed(markup)
    reader.close()
    return "".join(reader.parts)


@pytest.mark.parametrize("name", ARTICLE_NAMES)
def test_an_article_reads_back_character_for_character(name: str) -> None:
    text = article_text(name)
    assert text_content(shown_body(text, BodyFormat.TEXT)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_reads_back_character_for_character(text: str) -> None:
    shown = exact_text(text)
    assert text_content(shown) == text
    assert "<" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        "<svg onload=alert(1)>",
        '<iframe src="https://example.org"></iframe>',
        '<form action="https://example.org"><input name="p"><button>x</button></form>',
        '<p style="position:fixed;inset:0">x</p>',
        "<style>body{display:none}</style>",
        '<div id="main" class="banner-stop">x</div>',
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        '<meta http-equiv="refresh" content="0;url=https://example.org">',
        '<base href="https://example.org/">',
        '<object data="https://example.org/x.swf"></object>',
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    ],
)
def test_nothing_that_runs_loads_or_disguises_itself_is_left(hostile: str) -> None:
    shown = sanitised_html(hostile).lower()
    for trace in ("<script", "onerror=alert", "javascript:", "data:", "<svg", "<iframe", "<form", "<input", "style="):
        assert trace not in shown.replace("&lt;", "").replace('title="', ""), shown
    for trace in ("<style", "<img", "<meta", "<base", "<object", 'id="', 'class="banner'):
        assert trace not in shown, shown


def test_an_image_is_not_fetched_but_said_in_words() -> None:
    shown = sanitised_html('<p>Xem <img src="https://example.org/a.png" alt="Sơ đồ &quot;mới&quot;"> dưới</p>')
    assert "example.org" not in shown
    assert text_content(shown) == 'Xem Sơ đồ "mới" dưới'


@pytest.mark.parametrize(
    "hostile",
    [
        '<p title="<img">" onmouseover="alert(1)">x</p>',
        '<p title="<img alt=">x" onmouseover="alert(1)">x</p>',
        '<img alt="&lt;script&gt;alert(1)&lt;/script&gt;">',
        """<img alt='"><b onmouseover="alert(1)">'>""",
        '<span class="banner-stop">x</span><img alt=\'x" class="banner-stop\'>',
    ],
)
@pytest.mark.parametrize("older", [False, True])
def test_the_sanitiser_has_the_last_word(hostile: str, older: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older sanitisers leave `<` and `>` in attributes as they are."""
    clean = nh3.clean
    if older:
        monkeypatch.setattr(nh3, "clean", lambda *args, **kw: bare_in_attributes(clean(*args, **kw)))
    sanitised_html.cache_clear()
    reader = AttributeReader()
    reader.feed(sanitised_html(hostile))
    reader.close()
    assert set(reader.found) <= {("title", None), ("class", "image-text")}
    sanitised_html.cache_clear()


def test_an_image_without_words_leaves_nothing() -> None:
    assert sanitised_html('<p>a<img src="https://example.org/a.png">b</p>') == "<p>ab</p>"


def test_links_open_no_back_door() -> None:
    shown = sanitised_html('<a href="https://example.gov.vn/">x</a>')
    assert shown == '<a href="https://example.gov.vn/" rel="noopener nofollow">x</a>'


def test_headings_go_below_those_of_the_page() -> None:
    assert sanitised_html("<h1>a</h1><h2>b</h2><h6>c</h6>") == "<h3>a</h3><h4>b</h4><h6>c</h6>"


def test_tables_ruby_and_languages_stay() -> None:
    html = '<table><tbody><tr><th scope="row">a</th><td colspan="2">b</td></tr></tbody></table><p lang="ja">x</p>'
    assert sanitised_html(html) == html


def test_the_words_of_html_are_read_without_its_markup() -> None:
    assert plain_text("<p>Kết nối</p><p>cổng &amp; mạng</p><script>x</script>", "HTML") == "Kết nối cổng & mạng"


@pytest.mark.parametrize("opening", ["<div>", "<ul><li>", "<b><p>", "<div></x>", "<table><td>", "<span>x"])
def test_a_body_nested_to_keep_the_page_busy_is_shown_as_text_at_once(opening: str) -> None:
    body = opening * (200_000 // len(opening))
    started = time.process_time()
    assert sanitised_html(body) == exact_text(body)
    assert plain_text(body, BodyFormat.HTML)
    assert time.process_time() - started < 2


def test_a_long_document_that_forgets_ends_is_no_deep_one() -> None:
    body = "<ul>" + "<li>Mục<p>Đoạn" * 5_000 + "</ul>" + "<div><b>Điều</b></div>" * 5_000
    assert sanitised_html(body).count("<li>") == 5_000
