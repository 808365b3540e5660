"""A tab of a real browser that remembers what a page should not have done."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page


class Watched:
    """One browser tab that remembers what it should not have done."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.address = address
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._complain(message.type in ("error", "warning"), message.text))
        self.page.on("pageerror", lambda error: self._complain(True, str(error)))
        self.page.on("request", lambda request: self._complain(not request.url.startswith(address), request.url))

    def open(self, path: str) -> Page:
        """Goes to a page of the portal and returns the tab."""
        self.page.goto(f"{self.address}{path}", wait_until="load")
        return self.page

    def _complain(self, wrong: bool, what: str) -> None:
        if wrong:
            self.complaints.append(what)
