"""Prometheus' rule file, from the list of metrics."""

from __future__ import annotations

from typing import Any

import yaml

from portalbus.streams.metrics.defined import METRICS, AlertRule, Metric


def alert_rules(language: str = "en") -> str:
    """The rule file, YAML; its annotations hold the summary in `language` and in all three languages."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for metric in METRICS:
        if metric.alert is not None:
            groups.setdefault(metric.process.value, []).append(_rule(metric, metric.alert, language))
    found = {"groups": [{"name": f"portalbus-{name}", "rules": rules} for name, rules in groups.items()]}
    return yaml.safe_dump(found, allow_unicode=True, sort_keys=False, width=1_000)


def _rule(metric: Metric, rule: AlertRule, language: str) -> dict[str, Any]:
    texts = rule.summary.model_dump()
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": rule.hold,
        "labels": {"severity": rule.severity.value},
        "annotations": {
            "summary": texts[language],
            **{f"summary_{name}": text for name, text in texts.items()},
            "metric": metric.series,
        },
    }
