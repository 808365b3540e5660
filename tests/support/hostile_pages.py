"""What bad servers do to a reader: each a behaviour of `local_site.LocalSite`."""

from __future__ import annotations

import gzip
import threading
import time
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler

CHUNK = b"x" * 65_536
LONGEST = 20.0
"""No behaviour outlives a test by more than that (seconds)."""


def _begin(request: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/rss+xml")
    request.send_header("Connection", "close")
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.close_connection = True


def hangs(request: BaseHTTPRequestHandler) -> None:
    """Takes the request and never answers."""
    threading.Event().wait(LONGEST)


def drips(request: BaseHTTPRequestHandler) -> None:
    """Sends a byte now and then, so that no single read takes long."""
    _begin(request)
    end = time.monotonic() + LONGEST
    with suppress(OSError):
        while time.monotonic() < end:
            request.wfile.write(b" ")
            threading.Event().wait(0.05)


def drips_headers(request: BaseHTTPRequestHandler) -> None:
    """The same within its headers."""
    end = time.monotonic() + LONGEST
    with suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while time.monotonic() < end:
            request.wfile.write(b"x")
            threading.Event().wait(0.05)


def never_ends(request: BaseHTTPRequestHandler) -> None:
    """50 MB without saying so before."""
    _begin(request)
    with suppress(OSError):
        for _ in range(800):
            request.wfile.write(CHUNK)


def announces_much(request: BaseHTTPRequestHandler) -> None:
    """50 MB, and says so."""
    _begin(request, Content_Length=str(50 * 1024 * 1024))
    with suppress(OSError):
        for _ in range(800):
            request.wfile.write(CHUNK)


@cache
def _packed() -> bytes:
    # A thousand small ones make a large one: gzip files may be put together.
    return gzip.compress(b"\0" * 1_048_576) * 100


def zip_bomb(request: BaseHTTPRequestHandler) -> None:
    """100 MB in half a megabyte."""
    packed = _packed()
    _begin(request, Content_Encoding="gzip", Content_Length=str(len(packed)))
    with suppress(OSError):
        request.wfile.write(packed)


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    """Announces more than it sends."""
    _begin(request, Content_Length="10000")
    request.wfile.write(b"<rss><channel><item>")


def resets(request: BaseHTTPRequestHandler) -> None:
    """Hangs up without a word."""
    request.close_connection = True
    request.connection.close()


def no_http(request: BaseHTTPRequestHandler) -> None:
    """Speaks something else."""
    with suppress(OSError):
        request.wfile.write(b"220 ftp.hanoi.gov.vn ready\r\n" * 20)
    request.close_connection = True


def circle(request: BaseHTTPRequestHandler) -> None:
    """Redirects to itself."""
    _begin(request, 302, Location=request.path, Content_Length="0")


def chain(request: BaseHTTPRequestHandler) -> None:
    """Redirects to ever new addresses."""
    _begin(request, 302, Location=request.path + "x", Content_Length="0")


def to_metadata(request: BaseHTTPRequestHandler) -> None:
    """Redirects to an address inside a network."""
    _begin(request, 302, Location="http://169.254.169.254/latest/meta-data/", Content_Length="0")


def to_a_file(request: BaseHTTPRequestHandler) -> None:
    """Redirects to a file of this machine."""
    _begin(request, 302, Location="file:///etc/passwd", Content_Length="0")


def fails(request: BaseHTTPRequestHandler) -> None:
    """Is broken, and asks for patience."""
    _begin(request, 503, Retry_After="120", Content_Length="0")


def strange_packing(request: BaseHTTPRequestHandler) -> None:
    """Packs its answer in a way nobody asked for."""
    _begin(request, Content_Encoding="br", Content_Length="3")
    request.wfile.write(b"\x0b\x02\x80")


LAUGHS = "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + level)} '{f'&{chr(97 + level)};' * 10}'>" for level in range(12)
)
ENTITY_BOMB = LAUGHS + "]><rss version='2.0'><channel><item><title>&m;</title></item></channel></rss>"
QUADRATIC = (
    "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a '"
    + "x" * 50_000
    + "'>]><rss version='2.0'><channel><item><title>"
    + "&a;" * 50_000
    + "</title></item></channel></rss>"
)
EXTERNAL = (
    "<?xml version='1.0'?><!-- <rss> --><!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    "<rss version='2.0'><channel><item><title>&x;</title><link>https://hanoi.gov.vn/1</link></item></channel></rss>"
)
DEEP = "<rss version='2.0'><channel>" + "<item>" * 8_000 + "</channel></rss>"
BEHAVIOURS = {
    "hangs": (hangs, "did not answer in time"),
    "drips": (drips, "did not answer in time"),
    "drips-headers": (drips_headers, "did not answer in time"),
    "never-ends": (never_ends, "larger than 1048576 bytes"),
    "announces-much": (announces_much, "larger than 1048576 bytes"),
    "zip-bomb": (zip_bomb, "larger than 1048576 bytes"),
    "breaks-off": (breaks_off, "what it answers is no HTTP"),
    "resets": (resets, "no HTTP"),
    "no-http": (no_http, "no HTTP"),
    "circle": (circle, "redirects go in a circle"),
    "chain": (chain, "more than 5 redirects"),
    "to-metadata": (to_metadata, "169.254.169.254 is an address inside a network"),
    "to-a-file": (to_a_file, "this is no web address"),
    "fails": (fails, "answers 503"),
    "strange-packing": (strange_packing, "packed as 'br'"),
}
"""Each behaviour with what the connector must say about it."""
CONTENTS = {
    "entity-bomb": (ENTITY_BOMB.encode(), "declares entities"),
    "quadratic-bomb": (QUADRATIC.encode(), "declares entities"),
    "external-entity": (EXTERNAL.encode(), "declares entities"),
    "utf-16-bomb": (ENTITY_BOMB.encode("utf-16"), "declares entities"),
    "no-feed": (b"<html><body>Trang khong ton tai</body></html>", "this is no RSS or Atom"),
    "empty": (b"", "this is no RSS or Atom"),
    "noise": (bytes(range(256)) * 40, "does not fit"),
    "nul-bytes": (b"\0" * 5_000, "this is no RSS or Atom"),
}
"""Each content with what the connector must say about it."""
