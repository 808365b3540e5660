"""Behind a proxy: what a trusted one says of a visitor counts, what anybody else says does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from central_process import CentralProcess
from gateway_process import GatewayProcess
from office_accounts import PASSWORD, make_account
from portalbus.connectors.web.proxies import PROXIES_VARIABLE
from portalbus.infra.stack import Endpoints

PROXY, STRANGER = "127.0.0.9", "127.0.0.10"
"""Two addresses of this machine; the first is named to the processes."""


@pytest.fixture(scope="module")
def central(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """A central portal that is told of the proxy as a deployment tells it: by the environment."""
    make_account(ledger_url, "centre")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(PROXIES_VARIABLE, f"{PROXY}/32")
        process = CentralProcess(
            ledger_url,
            tmp_path_factory.mktemp("central") / "central.log",
            *("--lookups-per-minute", "2", "--logins-per-minute", "1000"),
        )
    process.wait_until()
    yield process
    assert process.stop() == 0, process.log.read_text()


def coming_from(address: str, base: str) -> httpx2.Client:
    """A client at one of this machine's addresses."""
    return httpx2.Client(base_url=base, transport=httpx2.HTTPTransport(local_address=address), timeout=20)


def session_cookie(client: httpx2.Client, **headers: str) -> str:
    answer = client.post("/office/en/login", data={"name": "centre", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 303, answer.text
    return answer.headers["set-cookie"].lower()


def test_a_session_over_https_has_a_cookie_that_no_plain_line_carries(central: CentralProcess) -> None:
    with coming_from(PROXY, central.address) as proxy:
        assert "; secure" in session_cookie(proxy, **{"X-Forwarded-Proto": "https"})
        assert "; secure" not in session_cookie(proxy, **{"X-Forwarded-Proto": "http"})


def test_a_stranger_who_says_https_is_not_believed(central: CentralProcess) -> None:
    with coming_from(STRANGER, central.address) as stranger:
        assert "; secure" not in session_cookie(stranger, **{"X-Forwarded-Proto": "https"})


def test_each_visitor_behind_the_proxy_has_look_ups_of_its_own(central: CentralProcess) -> None:
    with coming_from(PROXY, central.address) as proxy:
        assert looked_up(proxy, "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2") == [404, 404, 429, 404]


def test_what_a_visitor_wrote_before_the_proxys_word_does_not_count(central: CentralProcess) -> None:
    with coming_from(PROXY, central.address) as proxy:
        chains = (f"198.51.100.{number}, 203.0.113.3" for number in range(3))
        assert looked_up(proxy, *chains) == [404, 404, 429]


def test_a_stranger_gets_no_look_ups_by_naming_other_addresses(central: CentralProcess) -> None:
    with coming_from(STRANGER, central.address) as stranger:
        assert looked_up(stranger, "203.0.113.5", "203.0.113.6", "203.0.113.7") == [404, 404, 429]


def test_wrong_keys_at_the_gateway_are_counted_by_the_address_behind_the_proxy(
    endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROXIES_VARIABLE, PROXY)
    gateway = GatewayProcess(endpoints, tmp_path, "--failures-per-minute", "2").start(ready=False)
    try:
        with coming_from(PROXY, gateway.address) as proxy:
            proxied = [wrong_key(proxy, f"203.0.113.{last}") for last in (1, 1, 1, 2)]
        with coming_from(STRANGER, gateway.address) as stranger:
            strange = [wrong_key(stranger, f"203.0.113.{last}") for last in (5, 6, 7)]
    finally:
        assert gateway.stop() == 0
    assert (proxied, strange) == ([401, 401, 429, 401], [401, 401, 429])


def looked_up(client: httpx2.Client, *forwarded: str) -> list[int]:
    """The statuses of look-ups of a code that is not there, each for another X-Forwarded-For."""
    path = "/api/v1/feedback/7GQ2M0Z4KX9A"
    return [client.get(path, headers={"X-Forwarded-For": chain}).status_code for chain in forwarded]


def wrong_key(client: httpx2.Client, forwarded: str) -> int:
    headers = {"Authorization": "Bearer pbk_nobody_nothing", "X-Forwarded-For": forwarded}
    return client.get("/v1/verdicts", headers=headers).status_code
