"""A real Prometheus over some endpoints, for tests."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from central_process import free_port

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Prometheus:
    """Its address."""

    address: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of a PromQL expression, a vector."""
        answer = httpx2.get(f"{self.address}/api/v1/query", params={"query": expression}, timeout=10)
        answer.raise_for_status()
        return list(answer.json()["data"]["result"])

    def wait_for(self, expression: str) -> list[dict[str, Any]]:
        """The result as soon as there is one."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"no value of {expression}"
            time.sleep(0.1)
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        answer = httpx2.get(f"{self.address}/api/v1/alerts", timeout=10).json()
        return {alert["labels"]["alertname"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"}


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, int], rules: str) -> Iterator[Prometheus]:
    """Runs Prometheus over endpoints (job and port) with a rule file, once a second; skips where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian's package prometheus)")
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        _wait(process, server, folder / "prometheus.log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], server: Prometheus, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx2.get(f"{server.address}/-/ready", timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())
