"""Runs the gateway as a process of its own."""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import structlog
import uvicorn

from portalbus.connectors.gateway.app import create_app
from portalbus.connectors.gateway.patient_protocol import patient_protocol
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.web.serving import GRACE_S, serve_until_asked

log = structlog.get_logger(__name__)

DESCRIPTORS = 16_384
SWITCH_S = 0.0005
"""How soon a thread that has heard from the disk or the broker gets its turn: requests wait for it."""


class CannotServe(Exception):
    """The settings, or another process, forbid it; the message says what to do."""


def serve(settings: Settings, *, plain_http: bool = False) -> None:
    """Serves until SIGINT or SIGTERM; then lets requests end, and every open source say good-bye.

    To be called in the main thread. Raises CannotServe, and SystemExit(1) when the address is in use.
    """
    check_address(settings, plain_http=plain_http)
    _allow_many_connections()
    sys.setswitchinterval(SWITCH_S)
    with alone(settings):
        serve_until_asked("gateway", _config(settings))


def check_address(settings: Settings, *, plain_http: bool) -> None:
    """API keys do not cross a network in the clear. Raises CannotServe."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise CannotServe("TLS needs both a certificate and its key")
    if not settings.tls_certificate and not plain_http and not _is_loopback(settings.host):
        raise CannotServe(
            f"on {settings.host} API keys would cross the network in the clear: give --tls-certificate and --tls-key,"
            " or listen on 127.0.0.1 behind a proxy, or allow it with --plain-http"
        )


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Holds the state folder for this process. Raises CannotServe when another one has it."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = os.open(settings.state / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CannotServe(f"another gateway uses {settings.state}: end it first, or give --state") from None
    finally:
        os.close(place)


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=patient_protocol(settings.head_s),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        lifespan="on",
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_many_connections() -> None:
    """Readers of verdicts keep connections: as many file descriptors as this user may have, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
