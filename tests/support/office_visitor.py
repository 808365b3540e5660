"""Somebody who uses the console without a browser: cookies and the hidden fields of forms."""

from __future__ import annotations

import re
from typing import Any

import httpx2

from office_accounts import PASSWORD

CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


class Visitor:
    """A client of one console; follows no redirect unless asked to."""

    def __init__(self, address: str, name: str = "", password: str = PASSWORD, language: str = "en") -> None:
        self.http = httpx2.Client(base_url=address, timeout=30)
        self.language = language
        self.login = self.post("login", name=name, password=password) if name else None

    def get(self, path: str) -> httpx2.Response:
        """A page of the console, by its path behind the language."""
        return self.http.get(f"/office/{self.language}/{path}")

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """Sends a form as it is given."""
        return self.http.post(f"/office/{self.language}/{path}", data=fields, headers=headers)

    def step(self, what: str, agency: str, why: str = "because", **about: Any) -> httpx2.Response:
        """Takes a step as its button does, and follows to the page that says what came of it."""
        found = CSRF.search(self.get(f"agencies/{agency}").text)
        assert found, "the page of the agency has no form"
        answer = self.post("steps", csrf=found[1], what=what, agency=agency, why=why, **about)
        assert answer.status_code == 303, answer.text
        return self.http.get(answer.headers["location"])
