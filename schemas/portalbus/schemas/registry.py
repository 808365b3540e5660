"""The schema registry, through the part of Confluent's API that every compatible registry speaks."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from portalbus.schemas.errors import NotRegistered, RegistryRefused, RegistryUnavailable

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY = "FULL_TRANSITIVE"


class SchemaRegistry:
    """A registry client of six calls. `url` is its base, for example `http://127.0.0.1:8081/apis/ccompat/v7`.

    Every call raises RegistryUnavailable when there is no answer within `timeout` seconds (or a 5xx, or an answer
    that is not a registry's), and RegistryRefused, with the registry's own words, when the answer is no: NotRegistered
    when it does not hold what was asked for.
    Raises ValueError for an address that is not http or https.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"the registry's address must begin with http:// or https://, not {url!r}")
        self.url = url.rstrip("/")
        self._timeout = timeout

    def subjects(self) -> list[str]:
        """All subjects."""
        return [str(subject) for subject in self._expect(list, "GET", "/subjects")]

    def register(self, subject: str, schema: str) -> int:
        """Registers a schema under a subject and returns its id; the same schema gets the same id again."""
        return self._id("POST", f"/subjects/{quote(subject)}/versions", {"schema": schema})

    def lookup(self, subject: str, schema: str) -> int:
        """The id of a schema that is registered under a subject. Registers nothing."""
        return self._id("POST", f"/subjects/{quote(subject)}", {"schema": schema})

    def versions(self, subject: str) -> list[int]:
        """Version numbers of a subject."""
        return [int(version) for version in self._expect(list, "GET", f"/subjects/{quote(subject)}/versions")]

    def schema(self, schema_id: int) -> Any:
        """The parsed schema with this id."""
        path = f"/schemas/ids/{schema_id}"
        try:
            return json.loads(self._expect(dict, "GET", path)["schema"])
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryUnavailable(f"GET {self.url}{path}: the answer holds no schema") from error

    def set_compatibility(self, subject: str, level: str = COMPATIBILITY) -> None:
        """Sets the compatibility level of a subject."""
        self._call("PUT", f"/config/{quote(subject)}", {"compatibility": level})

    def compatibility(self, subject: str) -> str:
        """The compatibility level of a subject."""
        answer = self._expect(dict, "GET", f"/config/{quote(subject)}?defaultToGlobal=true")
        return str(answer.get("compatibilityLevel", ""))

    def _id(self, method: str, path: str, body: object) -> int:
        try:
            return int(self._expect(dict, method, path, body)["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryUnavailable(f"{method} {self.url}{path}: the answer holds no id") from error

    def _expect(self, kind: type, method: str, path: str, body: object | None = None) -> Any:
        answer = self._call(method, path, body)
        if not isinstance(answer, kind):
            raise RegistryUnavailable(f"{method} {self.url}{path}: the answer is not a registry's")
        return answer

    def _call(self, method: str, path: str, body: object | None = None) -> Any:
        request = Request(  # noqa: S310 - the operator's own registry, http or https
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE},
        )
        try:
            with urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                return json.loads(response.read())
        except HTTPError as error:
            text = error.read(2_000).decode(errors="replace")
            if error.code >= 500:
                raise RegistryUnavailable(f"{method} {path}: {error.code} {text}") from error
            refused = NotRegistered if error.code == 404 else RegistryRefused
            raise refused(f"{method} {path}: {error.code} {text}") from error
        except (OSError, HTTPException, ValueError) as error:  # no connection, cut off, or not JSON
            raise RegistryUnavailable(f"{method} {self.url}{path}: {error}") from error
