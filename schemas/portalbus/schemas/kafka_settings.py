"""How a process reaches Kafka: the address, and TLS and SASL from the environment, for both client libraries.

Every variable is a property of librdkafka: PORTALBUS_KAFKA_SECURITY_PROTOCOL is `security.protocol`. Values may be
secrets: none is ever in a message.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any

PREFIX = "PORTALBUS_KAFKA_"
SECURED = ("security.", "sasl.", "ssl.", "enable.ssl.")
OF_THE_CONNECTION = (*SECURED, "socket.", "broker.address.", "client.dns.")
"""What every client takes from the environment; how records are gathered and fetched is each client's own affair."""

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
ONE_REQUEST_AT_A_TIME: dict[str, Any] = {"max.in.flight.requests.per.connection": 1}
"""What every producer of librdkafka is given, idempotent and transactional ones too. Where a first request fails and a
second one that was on its way is written, librdkafka takes the first for written as well ("implicit acks", its pull
request 2081), since a broker takes no number before its turn. But a broker that knows nothing of a producer takes any
number: while it is just starting it may refuse the first request and take the second. What the first one held is lost,
and said to be delivered without an offset; a transaction is committed without it."""

OF_A_SERVICE = re.compile(r"(^|\.)(service\.(host|port)|port)(\.|$)")
"""What Kubernetes puts into the environment for a service of that name, such as Strimzi's, and is no property."""
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
KNOWN = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)
"""What can be said to aiokafka as well, and so may be asked of a worker."""


def kafka_from_env(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The librdkafka properties in the environment, all of them; they may hold secrets."""
    env = os.environ if environ is None else environ
    named = {
        name.removeprefix(PREFIX).lower().replace("_", "."): value
        for name, value in env.items()
        if name.startswith(PREFIX) and value
    }
    return {name: value for name, value in named.items() if not OF_A_SERVICE.search(name)}


def brokers_in(bootstrap: str) -> list[tuple[str, int]]:
    """The hosts and ports of a list such as `kafka-1:9092,kafka-2:9092`. Raises ValueError for one without a port."""
    found = []
    for server in (part.strip() for part in bootstrap.split(",")):
        host, _, port = server.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError(f"bootstrap servers are host:port, with commas in between; {server!r} is not")
        found.append((host.strip("[]"), int(port)))
    return found


def librdkafka_settings(bootstrap: str, properties: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The properties every librdkafka client begins with: the address, and `properties`.

    Without `properties` they are those of the connection (TLS, SASL, sockets) in the environment.
    """
    return {**(_connection() if properties is None else properties), "bootstrap.servers": bootstrap}


def aiokafka_settings(bootstrap: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The arguments every aiokafka client begins with: the address, and TLS and SASL as in the environment.

    Raises ValueError, naming the variable, for what aiokafka cannot do or what is missing or cannot be read.
    """
    brokers_in(bootstrap)
    found = _connection(environ)
    _refuse_unknown(found)
    protocol = found.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in PROTOCOLS:
        raise ValueError(f"{_variable('security.protocol')} must be one of {', '.join(PROTOCOLS)}")
    settings: dict[str, Any] = {"bootstrap_servers": bootstrap, "security_protocol": protocol}
    if protocol.endswith("SSL"):
        settings["ssl_context"] = _tls(found)
    if protocol.startswith("SASL"):
        settings.update(_sasl(found))
    return settings


def _connection(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    return {name: value for name, value in kafka_from_env(environ).items() if name.startswith(OF_THE_CONNECTION)}


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "_")


def _refuse_unknown(found: Mapping[str, str]) -> None:
    secured = (name for name in found if name.startswith(SECURED))
    if unknown := sorted(set(secured) - KNOWN):
        names = ", ".join(map(_variable, unknown))
        raise ValueError(f"{names}: a worker cannot do this; it knows {', '.join(map(_variable, sorted(KNOWN)))}")


def _sasl(found: Mapping[str, str]) -> dict[str, Any]:
    mechanism = (found.get("sasl.mechanism") or found.get("sasl.mechanisms", "")).upper()
    if mechanism not in MECHANISMS:
        raise ValueError(f"{_variable('sasl.mechanism')} must be one of {', '.join(MECHANISMS)}")
    if missing := [name for name in ("sasl.username", "sasl.password") if name not in found]:
        raise ValueError(f"set {', '.join(map(_variable, missing))} in the environment as well")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": found["sasl.username"],
        "sasl_plain_password": found["sasl.password"],
    }


def _tls(found: Mapping[str, str]) -> ssl.SSLContext:
    place = found.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=place, cadata=found.get("ssl.ca.pem"))
    except (OSError, ValueError) as error:
        names = f"{_variable('ssl.ca.location')} or {_variable('ssl.ca.pem')}"
        raise ValueError(f"{names}: no certificates can be read there ({type(error).__name__})") from None
    if found.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if found.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate := found.get("ssl.certificate.location"):
        # Without a password given, OpenSSL would ask the terminal for the one of an encrypted key.
        password = found.get("ssl.key.password", "")
        try:
            context.load_cert_chain(certificate, found.get("ssl.key.location"), lambda: password)
        except (OSError, ValueError) as error:
            names = f"{_variable('ssl.certificate.location')}, {_variable('ssl.key.location')}"
            raise ValueError(f"{names}: no certificate with its key is there ({type(error).__name__})") from None
    return context
