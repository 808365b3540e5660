"""Strimzi's resources: every topic by its contract, and for every agency a user that speaks on its own lane alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from portalbus.infra.bus.provision import WantedTopic, wanted_topics
from portalbus.schemas.law.levels import GOVERNMENT_PORTAL
from portalbus.schemas.topics import CANONICAL, lane_of, verdicts_of

API = "kafka.strimzi.io/v1"
REPLICAS, IN_SYNC = 3, 2
BYTES_A_SECOND = 2_097_152
"""An agency's quota: its highest day is a thousandth of it, and no agency can fill the brokers' network alone."""


def strimzi_resources(
    agencies: Iterable[str], cluster: str = "portalbus", replicas: int = REPLICAS, namespace: str = "portalbus"
) -> str:
    """All KafkaTopic and KafkaUser resources as one YAML stream. Codes in their present form."""
    codes = sorted(set(agencies))
    resources = [_topic(topic, cluster, replicas) for topic in wanted_topics(codes).values()]
    resources += [_agency_user(code, cluster) for code in codes]
    resources += list(_centre_users(cluster))
    for resource in resources:
        resource["metadata"]["namespace"] = namespace
    return yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True, explicit_start=True)


def resource_name(topic: str) -> str:
    """A topic's name as Kubernetes allows it: `lane.H26` is `lane.h26`. Codes hold capitals only, so none collide."""
    return topic.lower()


def _topic(topic: WantedTopic, cluster: str, replicas: int) -> dict[str, Any]:
    in_sync = {"min.insync.replicas": str(min(IN_SYNC, replicas))}
    return {
        **_head("KafkaTopic", resource_name(topic.name), cluster),
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": replicas,
            "config": {**topic.config, **in_sync},
        },
    }


def _agency_user(code: str, cluster: str) -> dict[str, Any]:
    """May write to its lane and read what it is told and what the country may read; nothing else."""
    readable = [verdicts_of(code), *CANONICAL.values()]
    acls = [
        _allow("topic", lane_of(code), "Write", "Describe"),
        *(_allow("topic", name, "Read", "Describe") for name in readable),
        _allow("group", f"portalbus-{code}-", "Read", pattern="prefix"),
        _allow("group", "portalbus-subscription", "Read"),
    ]
    quotas = {"producerByteRate": BYTES_A_SECOND, "consumerByteRate": BYTES_A_SECOND * 4}
    return {
        **_head("KafkaUser", f"agency-{code.lower()}", cluster),
        "spec": {**_by_certificate(acls), "quotas": quotas},
    }


def _centre_users(cluster: str) -> Iterator[dict[str, Any]]:
    everything = {
        "worker": [
            _allow("topic", "lane.", "Read", "Describe", "DescribeConfigs", pattern="prefix"),
            _allow("group", "portalbus-streams", "Read", "Describe"),
            _allow("group", "portalbus-lane-reader", "Read"),
        ],
        "relay": [
            _allow("topic", "central.", "Read", "Write", "Describe", pattern="prefix"),
            _allow("topic", "verdict.", "Read", "Write", "Describe", pattern="prefix"),
            _allow("transactionalId", "portalbus-", "Write", "Describe", pattern="prefix"),
            _allow("group", "portalbus-relay-position", "Read"),
        ],
        "casework": [
            _allow("topic", "lane.", "Read", "Describe", pattern="prefix"),
            _allow("group", "portalbus-", "Read", pattern="prefix"),
        ],
        "warning": [
            _allow("topic", "central.", "Read", "Describe", pattern="prefix"),
            _allow("group", "portalbus-warning", "Read"),
        ],
        "webhooks": [
            _allow("topic", "central.", "Read", "Describe", pattern="prefix"),
            _allow("topic", "verdict.", "Read", "Describe", pattern="prefix"),
            _allow("group", "portalbus-", "Read", pattern="prefix"),
        ],
        "central": [
            _allow("topic", "lane.", "Read", "Describe", pattern="prefix"),
            _allow("group", "portalbus-", "Read", pattern="prefix"),
        ],
        # A central portal with an outbox: it reads lanes for what an operator asks, and says on the centre's own lane
        # what one decides.
        "console": [
            _allow("topic", "lane.", "Read", "Describe", pattern="prefix"),
            _allow("topic", lane_of(GOVERNMENT_PORTAL), "Write"),
            _allow("topic", verdicts_of(GOVERNMENT_PORTAL), "Read", "Describe"),
            _allow("group", "portalbus-", "Read", pattern="prefix"),
        ],
        # The gateway speaks for every agency that holds a key of it, so it may write to every lane.
        "gateway": [
            _allow("topic", "lane.", "Write", "Describe", pattern="prefix"),
            _allow("topic", "verdict.", "Read", "Describe", pattern="prefix"),
            _allow("group", "portalbus-", "Read", pattern="prefix"),
        ],
        # Whoever runs `portalbus doctor`, `tail`, `trace`, `rebuild`: reads everything, and changes nothing.
        "operator": [
            _allow("topic", "*", "Read", "Describe", "DescribeConfigs"),
            _allow("group", "portalbus-", "Read", "Describe", pattern="prefix"),
        ],
    }
    for name, acls in everything.items():
        yield {**_head("KafkaUser", f"centre-{name}", cluster), "spec": _by_certificate(acls)}


def _by_certificate(acls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"authentication": {"type": "tls"}, "authorization": {"type": "simple", "acls": acls}}


def _allow(kind: str, name: str, *operations: str, pattern: str = "literal") -> dict[str, Any]:
    return {
        "resource": {"type": kind, "name": name, "patternType": pattern},
        "operations": list(operations),
        "host": "*",
    }


def _head(kind: str, name: str, cluster: str) -> dict[str, Any]:
    labels = {"strimzi.io/cluster": cluster, "app.kubernetes.io/part-of": "portalbus"}
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}}
