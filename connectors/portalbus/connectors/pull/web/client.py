"""The web client of one pass: conditional requests, bounded in time, size and redirects, polite to the host."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from urllib.parse import urldefrag, urljoin, urlsplit

import httpcore2
from httpx2 import URL, InvalidURL, create_ssl_context

from portalbus.connectors.pull.config import WebBounds
from portalbus.connectors.pull.kind import NotYet, ReadFailed
from portalbus.connectors.pull.web.addresses import AddressPolicy
from portalbus.connectors.pull.web.bodies import CORE_ERRORS, TooLarge, pieces
from portalbus.connectors.pull.web.hosts import Hosts
from portalbus.connectors.pull.web.network import CheckedNetwork, Deadline
from portalbus.connectors.pull.web.robots import Robots
from portalbus.schemas.rules import is_web_address

REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
BUSY = frozenset({408, 425, 429})
PRIVATE_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
"""Never sent on to another host."""
FEED_TYPES = (
    "application/atom+xml, application/rss+xml, application/xml, text/xml, application/json, text/html, */*;q=0.1"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: 200 with content, 304 (nothing changed), or 404 and 410 (gone)."""

    status: int
    url: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def etag(self) -> str:
        """Its ETag, empty when it has none."""
        return self.headers.get("etag", "")

    @property
    def modified(self) -> str:
        """Its Last-Modified, empty when it has none."""
        return self.headers.get("last-modified", "")

    @property
    def charset(self) -> str:
        """The charset that its Content-Type announces, empty for none."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'").lower()
        return ""

    @property
    def media_type(self) -> str:
        """Its media type, empty for none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file that was read through once: media type, size in bytes, digest."""

    media_type: str
    size: int
    sha256: str


class Web:
    """What the web clients of a process share: bounds, hosts, robots.txt, checked addresses."""

    def __init__(self, bounds: WebBounds) -> None:
        self.bounds = bounds
        self.hosts = Hosts(bounds)
        self.robots = Robots()
        self.policy = AddressPolicy(bounds.internal)
        self.stopping = threading.Event()
        self.tls: ssl.SSLContext = create_ssl_context(verify=bounds.ca_file or True, trust_env=False)

    def client(self) -> WebClient:
        """A client for one pass."""
        return WebClient(self)

    def stop(self) -> None:
        """Whatever is being read now ends with ReadFailed."""
        self.stopping.set()


class WebClient:
    """Reads addresses for one pass, in one thread. All its methods raise ReadFailed with what to do about it.

    NotYet among them means: not now, come back later; nothing is wrong.
    """

    def __init__(self, web: Web) -> None:
        self._web = web
        self._deadline = Deadline(web.stopping)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=web.tls,
            max_connections=4,
            keepalive_expiry=10.0,
            network_backend=CheckedNetwork(web.policy, self._deadline),
        )
        self._ends = time.monotonic() + web.bounds.pass_timeout

    def get(
        self,
        url: str,
        *,
        etag: str = "",
        modified: str = "",
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
        robots: bool = True,
    ) -> Answer:
        """The answer of an address: status 200, 304, 404 or 410; every other one raises ReadFailed."""
        asked = {"Accept": FEED_TYPES, **(headers or {})}
        if etag:
            asked["If-None-Match"] = etag
        if modified:
            asked["If-Modified-Since"] = modified
        bound = limit or self._web.bounds.max_bytes
        with self._followed(url, asked, robots) as (place, response):
            return Answer(
                response.status,
                place,
                _headers(response),
                b"".join(self._body(place, response, bound)) if response.status == 200 else b"",
            )

    def status(self, url: str, *, headers: Mapping[str, str] | None = None, robots: bool = True) -> int:
        """The status of an address, 200, 304, 404 or 410, without reading what it holds."""
        with self._followed(url, {"Accept": FEED_TYPES, **(headers or {})}, robots) as (_, response):
            return response.status

    def digest(self, url: str) -> FileDigest:
        """Reads a file through, without keeping it."""
        place, digest, size = shown(url), sha256(), 0
        with self._followed(url, {"Accept": "*/*"}, True) as (at, response):
            if response.status != 200:
                raise ReadFailed(place, f"the file answers {response.status}")
            media = _headers(response).get("content-type", "").partition(";")[0].strip().lower()
            for piece in self._body(at, response, self._web.bounds.max_attachment_bytes):
                digest.update(piece)
                size += len(piece)
        return FileDigest(media or "application/octet-stream", size, digest.hexdigest())

    def close(self) -> None:
        """Closes its connections."""
        self._pool.close()

    def _body(self, url: str, response: httpcore2.Response, limit: int) -> Iterator[bytes]:
        headers = _headers(response)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(shown(url), limit)
        return pieces(shown(url), response.iter_stream(), headers.get("content-encoding", ""), limit)

    @contextmanager
    def _followed(self, url: str, headers: Mapping[str, str], robots: bool) -> Iterator[tuple[str, httpcore2.Response]]:
        """The answer at the end of the redirects, open."""
        first, seen = url, set()
        for _ in range(self._web.bounds.max_redirects + 1):
            if url in seen:
                raise ReadFailed(shown(first), "its redirects go in a circle", "Give the address where it ends")
            seen.add(url)
            _check_address(url)
            if robots and not self._robots_allow(url):
                raise ReadFailed(
                    shown(url),
                    "robots.txt asks not to read it",
                    "Ask the portal to allow the agent portalbus-connect, or set robots: false if it agreed",
                )
            with self._asked(url, headers if origin(url) == origin(first) else _public(headers)) as response:
                target = _headers(response).get("location", "")
                if response.status not in REDIRECTS or not target:
                    yield url, response
                    return
            url = urldefrag(urljoin(url, target)).url
        raise ReadFailed(
            shown(first), f"more than {self._web.bounds.max_redirects} redirects", "Give the address where they end"
        )

    @contextmanager
    def _asked(self, url: str, headers: Mapping[str, str]) -> Iterator[httpcore2.Response]:
        bounds = self._web.bounds
        if time.monotonic() > self._ends:
            raise NotYet(shown(url), f"the pass took its {bounds.pass_timeout:.0f} s; it goes on in the next one")
        with self._web.hosts.turn(origin(url)):
            self._deadline.put(bounds.total_timeout)
            asked = {
                "timeout": {
                    "connect": bounds.connect_timeout,
                    "read": bounds.read_timeout,
                    "write": bounds.read_timeout,
                    "pool": bounds.connect_timeout,
                }
            }
            sent = {"User-Agent": bounds.user_agent, "Accept-Encoding": "gzip", **headers}
            try:
                with self._pool.stream("GET", _core_url(url), headers=[*sent.items()], extensions=asked) as found:
                    self._check_status(url, found)
                    yield found
            except CORE_ERRORS as error:
                self._web.hosts.failed(origin(url))
                raise ReadFailed(shown(url), _said(error, bounds), _mend(error)) from None
            self._web.hosts.went_well(origin(url))

    def _robots_allow(self, url: str) -> bool:
        agent = self._web.bounds.user_agent.partition("/")[0]
        allowed = self._web.robots.allow(url, agent, self._robots_file)
        self._web.hosts.pause(origin(url), self._web.robots.pause(origin(url), agent))
        return allowed

    def _check_status(self, url: str, response: httpcore2.Response) -> None:
        status = response.status
        if status in (200, 304) or status in GONE or status in REDIRECTS:
            return
        if status >= 500 or status in BUSY:
            pause = _retry_after(_headers(response).get("retry-after", ""))
            self._web.hosts.failed(origin(url), pause)
            raise ReadFailed(shown(url), f"answers {status}: it cannot serve now", retry_after=pause)
        if status in (401, 403, 407):
            mend = "Give it the login it asks for, or let the portal allow the agent portalbus-connect"
            raise ReadFailed(shown(url), f"answers {status}: it lets nobody in", mend, refused=True)
        raise ReadFailed(shown(url), f"answers {status}, which is no answer to a reader", refused=True)

    def _robots_file(self, url: str) -> tuple[int, bytes]:
        answer = self.get(url, limit=512 * 1024, robots=False)
        return answer.status, answer.content


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}"


def shown(url: str) -> str:
    """An address as it may be logged: without its query, which may hold a key."""
    return url.partition("?")[0][:200]


def _check_address(url: str) -> None:
    if not is_web_address(url):
        raise ReadFailed(shown(url), "this is no web address", "An address begins with http:// or https:// and a host")


def _core_url(url: str) -> httpcore2.URL:
    try:
        parsed = URL(url)
    except (InvalidURL, UnicodeError):
        raise ReadFailed(shown(url), "this is no web address", "Check the spelling of the address") from None
    return httpcore2.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path or b"/"
    )


def _headers(response: httpcore2.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in response.headers}


def _public(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in PRIVATE_HEADERS}


def _retry_after(text: str) -> float | None:
    if text.isdigit():
        return float(text[:8])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _said(error: Exception, bounds: WebBounds) -> str:
    if isinstance(error, httpcore2.ConnectTimeout):
        return f"nobody took the connection within {bounds.connect_timeout:g} s"
    if isinstance(error, httpcore2.TimeoutException):
        return f"it did not answer in time ({bounds.read_timeout:g} s a step, {bounds.total_timeout:g} s in all)"
    if isinstance(error, httpcore2.ConnectError):
        why = f" ({error})" if "certificate" in str(error).lower() or "ssl" in str(error).lower() else ""
        return f"no connection{why}"
    if isinstance(error, httpcore2.ProtocolError):
        return f"what it answers is no HTTP ({error})"[:200]
    return "the connection broke off"


def _mend(error: Exception) -> str:
    if "certificate" in str(error).lower():
        return "Renew the portal's certificate; for a certification authority of your own set web.ca_file"
    return ""
