"""What every page has: its language, its services, and the way to render it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from portalbus.connectors.central.services import Services, services
from portalbus.connectors.central.wording import Words, all_words
from portalbus.schemas.filled_texts import LANGUAGES


class Page:
    """One request for a page in one language."""

    def __init__(self, request: Request, language: str) -> None:
        self.request = request
        self.language = language
        self.services: Services = services(request)
        self.words: Words = all_words()[language]

    def agency_name(self, code: str) -> str:
        """The name of an agency in the language of the page."""
        return self.services.agency(code).in_language(self.language)

    def render(self, template: str, *, here: str = "", status: int = 200, **values: Any) -> HTMLResponse:
        """The page; `here` is the menu entry it belongs to."""
        return HTMLResponse(self.fragment(template, here=here, path=self._path_behind_language(), **values), status)

    def fragment(self, template: str, **values: Any) -> str:
        """A template's text with what every template may use."""
        return self.services.templates.render(
            template, self.language, agency_name=self.agency_name, now=self.services.now(), **values
        )

    def _path_behind_language(self) -> str:
        """The address without its language, for the links to the other languages."""
        path = self.request.url.path.removeprefix(f"/{self.language}")
        query = self.request.url.query
        return f"{path}?{query}" if query else path


def page(request: Request, language: str) -> Page:
    """The page asked for; 404 for a language that we do not have."""
    if language not in LANGUAGES:
        raise HTTPException(404, "there is no page at this address")
    return Page(request, language)


PageAsked = Annotated[Page, Depends(page)]
