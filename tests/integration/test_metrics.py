"""Real values through a real Prometheus: what the ledger holds and what the central portal answered."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psycopg
import pytest

from central_process import CentralProcess, free_port
from ledger_rows import LedgerRows
from portalbus.infra.generate.alert_rules import alert_rules
from portalbus.infra.generate.dashboards import query
from portalbus.streams.ledger.alerts import Concern, raise_alert
from portalbus.streams.metrics.defined import METRICS, Process
from portalbus.streams.metrics.ledger_state import LEDGER, LedgerState
from portalbus.streams.metrics.measuring import Measures
from prometheus_server import prometheus

SINCE = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)


def ledger_measures(url: str) -> Measures:
    measures = Measures(Process.RELAY, *(metric for metric, _ in LEDGER))
    measures.collect_from(LedgerState(url))
    return measures


def test_prometheus_reads_real_values_and_the_alert_rule_fires(
    ledger: LedgerRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(ledger.database_url) as connection:
        connection.execute("truncate ledger.alert, ledger.notice")
        raise_alert(connection, Concern("source.silent", "H17", "www"), SINCE)
    relay = ledger_measures(ledger.database_url).serve(0)
    assert relay is not None
    port = free_port()
    central = CentralProcess(ledger.database_url, tmp_path / "central.log", "--metrics-port", str(port))
    try:
        central.wait_until()
        for _ in range(3):
            assert httpx2.get(f"{central.address}/healthz").status_code == 200
        assert httpx2.get(f"{central.address}/no-such-page-{os.getpid()}").status_code == 404
        with prometheus(tmp_path, {"relay": relay, "central": port}, alert_rules("en")) as server:
            asked = 'portalbus_central_requests_total{route="/healthz",status="200"}'
            assert float(server.wait_for(asked)[0]["value"][1]) >= 3
            assert server.query(f'portalbus_central_requests_total{{route=~".*{os.getpid()}.*"}}') == []
            found = server.wait_for("portalbus_ledger_alerts_open")
            assert found[0]["metric"]["kind"] == "source.silent" and found[0]["metric"]["agency"] == "H17"
            assert float(server.wait_for("portalbus_ledger_position")[0]["value"][1]) >= 1
            assert {one["metric"]["process"] for one in server.wait_for("portalbus_process_info")} >= {"relay"}
            for metric in METRICS:  # a panel's query that is no PromQL would raise
                server.query(query(metric).replace("$__rate_interval", "1m"))
            deadline = time.monotonic() + 30
            while "PortalbusAlert" not in server.firing():
                assert time.monotonic() < deadline, "the rule does not fire"
                time.sleep(0.1)
    finally:
        assert central.stop() == 0, central.log.read_text()


def test_while_the_database_is_away_there_are_no_figures_and_none_that_are_old() -> None:
    state = LedgerState(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    assert list(state.collect()) == []
