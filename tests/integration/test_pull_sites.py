"""The kinds `sitemap` and `json` against a real server: what is read, how often, and what counts as withdrawn."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from local_site import LocalSite
from pulled_portal import Pulled, pulled

PAGE = """<!DOCTYPE html><html lang="vi"><head><title>{title} | Cổng thông tin</title>
<meta property="article:published_time" content="2026-11-02T08:00:00+07:00"></head>
<body><nav>Trang chủ</nav><h1>{title}</h1><div class="so-hieu">{number}</div>
<article><p>{text}</p><span class="views">{views} lượt xem</span><script>track({views})</script></article>
<footer>© UBND</footer></body></html>"""


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def put_page(site: LocalSite, number: int, text: str = "", views: int = 1, **more: Any) -> str:
    said = text or f"Nội dung của văn bản {number}."
    content = PAGE.format(title=f"Văn bản {number}", number=f"{number}/CT-UBND", text=said, views=views)
    return site.put(f"/vb/{number}", content, **more)


def put_sitemap(site: LocalSite, lastmod: dict[int, str], *more: str) -> None:
    lines = "".join(
        f"<url><loc>{site.url}/vb/{number}</loc>{f'<lastmod>{day}</lastmod>' if day else ''}</url>"
        for number, day in lastmod.items()
    )
    head = '<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    site.put("/sitemap.xml", f"{head}{lines}{''.join(more)}</urlset>", "application/xml")


def sitemap(site: LocalSite, folder: Path, **settings: Any) -> Pulled:
    mapping = {"number": "//div[@class='so-hieu']", "document_type": {"always": "CT"}}
    about = {"kind": "sitemap", "address": site.url + "/sitemap.xml", "mapping": mapping}
    return pulled(folder, {**about, "ignore": ["//span[@class='views']"], **settings})


def test_pages_are_read_when_they_are_new_or_changed_and_what_surrounds_the_text_is_left_out(
    site: LocalSite, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        put_page(site, number)
    put_sitemap(site, dict.fromkeys((1, 2, 3), "2026-11-02"))
    portal = sitemap(site, tmp_path)
    report = portal.once()
    assert (report.failed, report.published) == ("", 3)
    first = portal.published()[0]
    assert (first.title, first.number, first.body) == ("Văn bản 1", "1/CT-UBND", first.body)
    assert "Nội dung của văn bản 1." in first.body
    assert not any(word in first.body for word in ("Trang chủ", "UBND</footer>", "lượt xem", "track"))
    site.asked.clear()
    assert portal.once(hours=1).published == 0
    assert site.paths() == ["/sitemap.xml"]
    put_page(site, 2, "Đã sửa đổi.")
    put_sitemap(site, {1: "2026-11-02", 2: "2026-11-03", 3: "2026-11-02"})
    site.asked.clear()
    assert portal.once(hours=1).published == 1
    assert site.paths() == ["/sitemap.xml", "/vb/2"]


def test_a_page_whose_counter_runs_has_not_changed(site: LocalSite, tmp_path: Path) -> None:
    put_page(site, 1)
    put_sitemap(site, {1: ""})
    portal = sitemap(site, tmp_path, again="1h")
    assert portal.once().published == 1
    put_page(site, 1, views=5_000)
    site.asked.clear()
    assert portal.once(hours=2).published == 0
    assert "/vb/1" in site.paths()


def test_a_page_is_withdrawn_when_it_is_neither_listed_nor_there(site: LocalSite, tmp_path: Path) -> None:
    numbers = range(1, 9)
    for number in numbers:
        put_page(site, number)
    put_sitemap(site, dict.fromkeys(numbers, "2026-11-02"))
    portal = sitemap(site, tmp_path)
    portal.once()
    put_sitemap(site, dict.fromkeys(range(3, 9), "2026-11-02"))  # two are no longer listed …
    del site.pages["/vb/1"]  # … and one of them is gone
    for _ in range(4):
        portal.once(hours=12)
    withdrawn = [payload for payload in portal.published() if payload.action == "WITHDRAW"]
    assert [payload.title for payload in withdrawn] == ["Văn bản 1"]


def test_a_listed_page_that_moved_keeps_its_directive(site: LocalSite, tmp_path: Path) -> None:
    for number in range(1, 7):
        put_page(site, number)
    put_sitemap(site, dict.fromkeys(range(1, 7), "2026-11-02"))
    portal = sitemap(site, tmp_path)
    portal.once()
    content = site.pages.pop("/vb/1").content
    site.put("/van-ban/1", content)
    put_sitemap(site, dict.fromkeys(range(2, 7), "2026-11-02"), f"<url><loc>{site.url}/van-ban/1</loc></url>")
    assert portal.once(hours=1).published == 1
    first, moved = portal.published()[0], portal.published()[-1]
    assert (moved.action, moved.version, moved.directive_id) == ("REVISE", 2, first.directive_id)
    assert moved.canonical_url == site.url + "/van-ban/1"
    for _ in range(3):
        assert portal.once(hours=12).published == 0


def test_a_large_site_is_read_over_several_passes(site: LocalSite, tmp_path: Path) -> None:
    for number in range(25):
        put_page(site, number)
    put_sitemap(site, dict.fromkeys(range(25), "2026-11-02"))
    portal = sitemap(site, tmp_path, pages=10)
    assert [portal.once(minutes=15).published for _ in range(4)] == [10, 10, 5, 0]


def test_a_sitemap_of_packed_sitemaps_is_followed_but_not_to_other_sites(site: LocalSite, tmp_path: Path) -> None:
    put_page(site, 1)
    inner = f"<urlset><url><loc>{site.url}/vb/1</loc></url><url><loc>http://127.0.0.2:1/vb/9</loc></url></urlset>"
    site.put("/inner.xml.gz", gzip.compress(inner.encode()), "application/gzip")
    outer = f"<sitemapindex><sitemap><loc>{site.url}/inner.xml.gz</loc></sitemap></sitemapindex>"
    site.put("/sitemap.xml", outer, "application/xml")
    portal = sitemap(site, tmp_path)
    report = portal.once()
    assert report.published == 1
    assert report.outcome is not None
    assert any("another site" in remark.text for remark in report.outcome.remarks)


def test_a_sitemap_that_is_none_is_said(site: LocalSite, tmp_path: Path) -> None:
    for content, said in (("<html></html>", "this is no sitemap"), ("<urlset><url>", "not well-formed")):
        site.put("/sitemap.xml", content, "application/xml")
        assert said in sitemap(site, tmp_path).once().failed


ITEMS = [
    {
        "id": number,
        "tieu_de": f"Văn bản {number}",
        "noi_dung": {"text": f"Nội dung {number}."},
        "ngay": f"{number:02d}/11/2026",
        "loai": "Chỉ thị",
        "link": f"https://hanoi.gov.vn/vb/{number}",
    }
    for number in range(1, 10)
]
MAPPING = {
    "title": "tieu_de",
    "body": "noi_dung.text",
    "issued_on": {"from": "ngay", "format": "%d/%m/%Y"},
    "document_type": {"from": "loai", "values": {"Chỉ thị": "CT"}, "default": "TIN"},
    "canonical_url": "link",
}


def api(site: LocalSite, items: list[dict[str, Any]], way: str, size: int = 4) -> None:
    """An API that pages in one of the ways."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        start = {
            "page": (int(query.get("page", 1)) - 1) * size,
            "offset": int(query.get("offset", 0)),
            "cursor": int(query.get("after", 0)),
            "link": int(query.get("from", 0)),
        }[way]
        following = start + size if start + size < len(items) else None
        said: dict[str, Any] = {"data": {"items": items[start : start + size]}}
        if way == "cursor":
            said["next"] = following
        body = json.dumps(said, ensure_ascii=False).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        if way == "link" and following is not None:
            request.send_header("Link", f'<{site.url}/api?from={following}>; rel="next"')
        request.end_headers()
        request.wfile.write(body)

    site.misbehave("/api", answer)


PAGINGS: dict[str, dict[str, Any]] = {
    "page": {"by": "page", "parameter": "page"},
    "offset": {"by": "offset", "parameter": "offset", "size": 4},
    "cursor": {"by": "cursor", "parameter": "after", "next": "next"},
    "link": {"by": "link"},
}


def json_portal(site: LocalSite, folder: Path, **settings: Any) -> Pulled:
    about = {"kind": "json", "address": site.url + "/api", "items": "data.items", "mapping": MAPPING}
    return pulled(folder, {**about, **settings})


@pytest.mark.parametrize("way", PAGINGS)
def test_all_pages_of_an_api_are_read(way: str, site: LocalSite, tmp_path: Path) -> None:
    api(site, ITEMS, way)
    portal = json_portal(site, tmp_path, paging=PAGINGS[way])
    report = portal.once()
    assert (report.failed, report.published) == ("", 9)
    first = min(portal.published(), key=lambda payload: payload.issued_on)
    assert (first.title, first.body, first.document_type) == ("Văn bản 1", "Nội dung 1.", "CT")
    assert first.issued_on.isoformat() == "2026-11-01"
    assert portal.once(hours=1).published == 0


def test_what_an_api_no_longer_lists_is_withdrawn_after_two_readings(site: LocalSite, tmp_path: Path) -> None:
    api(site, ITEMS, "page")
    portal = json_portal(site, tmp_path, paging=PAGINGS["page"])
    portal.once()
    api(site, ITEMS[:-1], "page")
    assert [portal.once(hours=2).published for _ in range(3)] == [0, 1, 0]
    assert portal.published()[-1].action == "WITHDRAW"


def test_half_a_listing_decides_nothing(site: LocalSite, tmp_path: Path) -> None:
    api(site, ITEMS, "page")
    portal = json_portal(site, tmp_path, paging=PAGINGS["page"])
    portal.once()
    whole = site.pages["/api"].behaviour

    def half(request: BaseHTTPRequestHandler) -> None:
        if "page=2" in request.path:
            request.send_response(500)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif whole is not None:
            whole(request)

    site.misbehave("/api", half)
    for _ in range(3):
        assert "answers 500" in portal.once(hours=9).failed
    api(site, ITEMS, "page")
    assert portal.once(hours=9).published == 0


def test_an_api_that_never_ends_is_said(site: LocalSite, tmp_path: Path) -> None:
    site.put("/api", json.dumps({"data": {"items": ITEMS}}), "application/json", conditional=False)
    portal = json_portal(site, tmp_path, paging=PAGINGS["page"])
    assert "its pages repeat" in portal.once().failed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html>", "no JSON (line 1"),
        ('{"data": {}}', "data.items is null"),
        ("[" * 100_000, "nested too deep"),
        ('{"data": {"items": {"1": 2}}}', "is dict, not a list"),
    ],
)
def test_an_answer_that_is_no_list_is_said(content: str, said: str, site: LocalSite, tmp_path: Path) -> None:
    site.put("/api", content, "application/json")
    assert said in json_portal(site, tmp_path).once().failed


def test_a_login_is_sent_to_the_portals_own_host_only(
    site: LocalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANOI_TOKEN", "Bearer hunter2")
    with LocalSite() as other:
        other.put("/api", json.dumps({"data": {"items": ITEMS}}), "application/json")
        site.put("/api", "", status=302, headers={"Location": other.url + "/api"})
        portal = json_portal(site, tmp_path, headers={"Authorization": "env:HANOI_TOKEN"})
        assert portal.once().published == 9
        assert site.asked[-1][1]["authorization"] == "Bearer hunter2"
        assert all("authorization" not in headers for _, headers in other.asked)
    monkeypatch.delenv("HANOI_TOKEN")
    assert "env:HANOI_TOKEN: this environment variable is not set" in portal.once(hours=1).failed
