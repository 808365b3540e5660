"""The list of metrics: three languages, bounded labels, and the files that are made from it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from portalbus.connectors.gateway.metrics import Metrics
from portalbus.infra.generate.alert_rules import alert_rules
from portalbus.infra.generate.dashboards import dashboards, query
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.ledger.ledger import Taken
from portalbus.streams.metrics.defined import GATEWAY_REQUESTS, METRICS, RECORDS, Kind, Process, metrics_of
from portalbus.streams.metrics.measuring import Measures, port_of
from portalbus.streams.metrics.worker_measures import WorkerMeasures

NAME = re.compile(r"^portalbus(_[a-z]+)+$")
BOUNDED = {"agency", "status", "topic", "kind", "route", "rule", "outcome", "channel"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_explained_and_bounded(metric: object) -> None:
    from portalbus.streams.metrics.defined import Metric

    assert isinstance(metric, Metric)
    assert NAME.match(metric.name)
    assert all(metric.meaning.model_dump().values())
    assert set(metric.labels) <= BOUNDED, "a label that nobody bounds"
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    if metric.alert is not None:
        assert metric.series.removesuffix("_total") in metric.alert.expression
        assert all(metric.alert.summary.model_dump().values())


def test_names_are_unique_and_every_process_measures_something() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metrics_of(process) for process in Process)


def test_the_gateway_measures_what_the_list_says() -> None:
    gateway = Metrics()
    for name in ("sources_open", "undelivered", "readers"):
        gateway.watch(name, "", lambda: 0.0)
    served = {family.name: family.type for family in gateway.registry.collect()}
    assert served == {metric.name: metric.kind.value for metric in metrics_of(Process.GATEWAY)}


def test_a_committed_batch_is_counted_once_and_lanes_are_looked_at_when_asked() -> None:
    from portalbus.schemas.models import VerdictStatus

    progress = LaneProgress()
    worker = WorkerMeasures(progress)
    progress.assigned({"lane.H17": 10})
    progress.seen_ends({"lane.H17": 14})
    worker.committed(Taken(3, 1, {"H17": 12}, {VerdictStatus.ACCEPTED: 2, VerdictStatus.REJECTED: 1}), 0.004)
    progress.committed({"lane.H17": 12})
    text = generate_latest(worker.measures.registry).decode()
    assert 'portalbus_worker_records_total{status="accepted"} 2.0' in text
    assert "portalbus_worker_replayed_total 1.0" in text
    assert "portalbus_worker_commit_seconds_count 1.0" in text
    assert 'portalbus_worker_lane_lag{agency="H17"} 2.0' in text
    assert 'portalbus_worker_lane_offset{agency="H17"} 12.0' in text
    assert "portalbus_worker_lanes 1.0" in text


def test_a_process_measures_nothing_that_is_another_ones() -> None:
    with pytest.raises(KeyError):
        Measures(Process.WORKER).count(GATEWAY_REQUESTS, 1, "/", "200")


def test_a_port_that_is_in_use_does_not_end_a_process() -> None:
    port = Measures(Process.WORKER).serve(0)
    assert port
    assert Measures(Process.WORKER).serve(port) is None
    assert Measures(Process.WORKER).serve(None) is None


@pytest.mark.parametrize(("text", "port"), [("", None), ("0", 0), ("9464", 9464)])
def test_a_port_is_read(text: str, port: int | None) -> None:
    assert port_of(text) == port


@pytest.mark.parametrize("text", ["-1", "65536", "http", "٣"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no port"):
        port_of(text)


@pytest.mark.parametrize("language", ["vi", "en", "zh"])
def test_every_rule_of_the_list_is_in_the_file_in_every_language(language: str) -> None:
    groups = yaml.safe_load(alert_rules(language))["groups"]
    made = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    assert set(made) == {metric.alert.name for metric in METRICS if metric.alert}
    for rule in made.values():
        assert rule["annotations"]["summary"] == rule["annotations"][f"summary_{language}"]


def test_every_metric_has_a_panel_on_its_process_dashboard() -> None:
    made = dashboards("vi")
    for process in Process:
        panels = made[f"portalbus-{process.value}.json"]["panels"]
        assert [panel["targets"][0]["expr"] for panel in panels] == [query(metric) for metric in metrics_of(process)]
    assert query(RECORDS) == "sum by (status) (rate(portalbus_worker_records_total[$__rate_interval]))"


@pytest.mark.parametrize("language", ["vi", "en", "zh"])
def test_promtool_accepts_the_rules(language: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    rules = tmp_path / "rules.yml"
    rules.write_text(alert_rules(language), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
