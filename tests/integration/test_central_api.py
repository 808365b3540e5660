"""The JSON API over a real ledger: typed answers, problems that help, no personal data, described by OpenAPI."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2
import psycopg
import pytest

from central_process import CentralProcess
from ledger_rows import ARTICLE_NAMES, LedgerRows, answer, article, article_text, attachment, directive, feedback
from portalbus.schemas.models import Outcome, RefusalReason


@pytest.fixture
def api(central: CentralProcess, ledger: LedgerRows) -> httpx2.Client:
    """A client of the API over an empty ledger."""
    return httpx2.Client(base_url=f"{central.address}/api/v1", timeout=10)


def keys(answer: httpx2.Response) -> list[str]:
    """The keys of a list of directives."""
    assert answer.status_code == 200, answer.text
    return [item["key"] for item in answer.json()["items"]]


def test_a_directive_is_visible_when_it_is_committed(api: httpx2.Client, ledger: LedgerRows) -> None:
    for number in range(5):
        key = ledger.publish(directive(f"d-{number}"))
        assert keys(api.get("/directives"))[0] == key


def test_the_articles_come_back_as_published_in_the_order_of_publication(
    api: httpx2.Client, ledger: LedgerRows
) -> None:
    published = [ledger.publish(article(name)) for name in ARTICLE_NAMES]
    assert keys(api.get("/directives")) == published[::-1]
    for name, key in zip(ARTICLE_NAMES, published, strict=True):
        found = api.get(f"/directives/{key}").json()
        assert found["versions"][0]["document"]["body"] == article_text(name)
        assert found["versions"][0]["document"] == article(name).model_dump(mode="json")


def test_directives_of_one_instant_keep_their_order_between_pages_whichever_is_revised_meanwhile(
    api: httpx2.Client, ledger: LedgerRows
) -> None:
    first = ledger.publish(directive("z"))
    at = api.get(f"/directives/{first}").json()["published_at"]
    with psycopg.connect(ledger.database_url) as connection:
        for name in ("c", "a", "b"):
            ledger.publish(directive(name))
        connection.execute("update ledger.directive set published_at = %s", (at,))
    assert keys(api.get("/directives")) == ["G22/a", "G22/b", "G22/c", "G22/z"]
    first_page = api.get("/directives", params={"limit": 2}).json()
    ledger.publish(directive("c", version=2, action="REVISE"))
    second_page = api.get("/directives", params={"limit": 2, "cursor": first_page["next"]})
    assert keys(second_page) == ["G22/c", "G22/z"]
    assert second_page.json()["next"] is None


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ket noi", {"vi", "ja-vi"}),
        ("kết nối", {"vi", "ja-vi"}),
        ("KẾT NỐI", {"vi", "ja-vi"}),
        ("電子ポータル", {"ja-vi"}),
        ("remuneration", {"en"}),
        ("royalt", {"en"}),
        ("xyzzy", set()),
        ("&|!()<->:*'\"\\", set()),
    ],
)
def test_search_finds_with_and_without_diacritics(
    api: httpx2.Client, ledger: LedgerRows, typed: str, found: set[str]
) -> None:
    for name in ARTICLE_NAMES:
        ledger.publish(article(name))
    assert set(keys(api.get("/directives", params={"q": typed}))) == {f"G22/article-{name}" for name in found}


def test_lists_are_narrowed_by_agency_and_language(api: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"), "H26")
    ledger.publish(directive("b", language="en"), "H26")
    ledger.publish(directive("c", language="en"), "G22")
    assert keys(api.get("/directives", params={"agency": "H26"})) == ["H26/b", "H26/a"]
    assert keys(api.get("/directives", params={"agency": "H26", "lang": "en"})) == ["H26/b"]
    assert keys(api.get("/directives", params={"lang": "en"})) == ["G22/c", "H26/b"]


def test_a_list_is_read_page_by_page_without_gap_or_repetition(api: httpx2.Client, ledger: LedgerRows) -> None:
    published = [ledger.publish(directive(f"d-{number:02}")) for number in range(23)]
    read: list[str] = []
    cursor = None
    for _ in range(5):
        page = api.get("/directives", params={"limit": 5, "q": "thủ tướng", **({"cursor": cursor} if cursor else {})})
        read += keys(page)
        cursor = page.json()["next"]
        ledger.publish(directive(f"later-{len(read)}"))
    assert cursor is None
    assert read == published[::-1]


def test_a_withdrawn_directive_leaves_the_lists_but_can_be_read(api: httpx2.Client, ledger: LedgerRows) -> None:
    key = ledger.publish(directive("a", attachments=[attachment()]))
    ledger.publish(directive("a", version=2, action="REVISE", title="Bản hai"))
    ledger.publish(directive("a", version=3, action="WITHDRAW", withdrawal_reason="Ban hành nhầm."))
    assert keys(api.get("/directives")) == []
    assert keys(api.get("/directives", params={"agency": "G22", "withdrawn": True})) == [key]
    found = api.get(f"/directives/{key}").json()
    assert found["withdrawn"]
    assert [version["action"] for version in found["versions"]] == ["PUBLISH", "REVISE", "WITHDRAW"]
    assert found["versions"][0]["document"]["attachments"][0]["size"] == 1_482_113


def test_feedback_is_followed_by_its_code_without_personal_data(api: httpx2.Client, ledger: LedgerRows) -> None:
    secret = "bí mật của người dân"
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A", subject=secret, content=secret, pseudonym="p-secret"))
    open_case = api.get("/feedback/7gq2-moz4-kx9a")
    assert open_case.json()["state"] == "RECEIVED"
    ledger.resolve(answer("H26-0001"), "H26")
    closed = api.get("/feedback/7GQ2M0Z4KX9A")
    assert closed.json()["outcome"] == "ANSWERED"
    assert [step["event_type"] for step in closed.json()["steps"]] == ["FeedbackReceived", "FeedbackResolved"]
    assert closed.headers["cache-control"] == "no-store"
    for response in (open_case, closed):
        assert secret not in json.dumps(response.json(), ensure_ascii=False)
        assert "p-secret" not in response.text
        assert "H26-0001" not in response.text


def test_an_answer_that_is_not_public_is_not_told(api: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.receive(feedback("H26-0001", "7GQ2M0Z4KX9A"))
    refusal = {
        "outcome": Outcome.REJECTED,
        "reason_code": RefusalReason.UNCLEAR_CONTENT,
        "reason_text": "Nội dung riêng của một người, không công khai.",
        "answer": "Câu trả lời riêng.",
        "public": False,
    }
    ledger.resolve(answer("H26-0001", **refusal), "H26")
    told = api.get("/feedback/7GQ2M0Z4KX9A").json()
    assert told["reason_code"] == "UNCLEAR_CONTENT"
    assert told["answer"] is None
    assert told["reason_text"] is None


def test_agencies_are_told_with_their_figures(api: httpx2.Client, ledger: LedgerRows) -> None:
    ledger.publish(directive("a"), "H26")
    ledger.refuse("H26")
    ledger.refuse("H26", status="DUPLICATE")
    ledger.wait("H57", "H57-0001")
    ledger.park("H17")

    def figures(code: str) -> dict[str, Any]:
        items: list[dict[str, Any]] = api.get("/agencies").json()["items"]
        return next(item for item in items if item["code"] == code)

    assert len(api.get("/agencies").json()["items"]) == 70
    wait_for(lambda: figures("H26")["accepted"] == 1)
    assert (figures("H26")["rejected"], figures("H26")["duplicate"]) == (1, 1)
    assert figures("H57")["waiting"] == 1
    assert figures("H17")["parked"] == 1
    assert figures("H01")["last_heard_at"] is None
    sources = api.get("/agencies/H26/sources").json()["items"]
    assert [(source["portal"], source["last_sequence"], source["missing"]) for source in sources] == [("www", 3, 0)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/directives/G22/nothing", 404),
        ("/directives/G22", 404),
        ("/feedback/0000", 404),
        ("/agencies/Z99/sources", 404),
        ("/agencies/nonsense/sources", 404),
        ("/directives?limit=0", 422),
        ("/directives?limit=101", 422),
        ("/directives?cursor=nonsense", 422),
        ("/directives?withdrawn=true", 422),
        ("/nothing", 404),
    ],
)
def test_what_is_wrong_is_said_as_a_problem(api: httpx2.Client, path: str, status: int) -> None:
    response = api.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]


def test_the_api_is_read_only_and_open(api: httpx2.Client) -> None:
    refused = api.post("/directives", json={})
    assert refused.status_code == 405
    assert refused.headers["content-type"] == "application/problem+json"
    assert api.get("/directives").headers["access-control-allow-origin"] == "*"


OTHER_MEDIA = {"/api/v1/stream": "text/event-stream", "/api/v1/figures.csv": "text/csv"}


def test_every_address_is_described_with_its_answers(api: httpx2.Client) -> None:
    description = api.get("/openapi.json").json()
    assert set(description["paths"]) == {
        "/api/v1/directives",
        "/api/v1/directives/{agency}/{directive_id}",
        "/api/v1/feedback/{code}",
        "/api/v1/agencies",
        "/api/v1/agencies/{code}/sources",
        "/api/v1/figures",
        "/api/v1/figures.csv",
        "/api/v1/search",
        "/api/v1/stream",
    }
    for path, methods in description["paths"].items():
        operation = methods["get"]
        assert operation["summary"]
        assert operation["description"]
        content = operation["responses"]["200"]["content"]
        if path in OTHER_MEDIA:
            assert list(content) == [OTHER_MEDIA[path]]
        else:
            assert content["application/json"]["schema"]["$ref"]
        for status, told in operation["responses"].items():
            assert status == "200" or list(told["content"]) == ["application/problem+json"]
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def wait_for(condition: Any, seconds: float = 10) -> None:
    """Asks again and again until the condition holds; the figures are up to a second old."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
