"""The AsyncAPI 3 document of the topics, from their contracts and the Avro schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from portalbus.schemas.avro_files import ALL_TYPES, current
from portalbus.schemas.topics import RELAY_POSITION, TopicContract, contracts

AVRO = "application/vnd.apache.avro+json;version=1.9.0"


def asyncapi() -> dict[str, Any]:
    """Every topic as a channel, every record as a message, and who sends and receives."""
    topics = [topic for topic in contracts() if topic.name != RELAY_POSITION]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "portalbus",
            "version": version("portalbus"),
            "description": "Topics of the bus. Values are Avro in the Confluent wire format; subjects are full names.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/vnd.apache.avro",
        "channels": {_name(topic): _channel(topic) for topic in topics},
        "operations": {
            f"{action}-{_name(topic)}": _operation(topic, action) for topic in topics for action in ("send", "receive")
        },
        "components": {"messages": {name: _message(name) for name in ALL_TYPES}},
    }


def _name(topic: TopicContract) -> str:
    return topic.name.replace(".<agency>", "")


def _channel(topic: TopicContract) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": topic.name.replace("<agency>", "{agency}"),
        "title": topic.name,
        "description": topic.purpose,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.schemas},
        "bindings": {
            "kafka": {"partitions": topic.partitions, "topicConfiguration": {"cleanup.policy": ["delete"]}},
        },
    }
    if topic.per_agency:
        found["parameters"] = {"agency": {"description": "Code of the agency, such as H26.", "examples": ["H26"]}}
    return found


def _operation(topic: TopicContract, action: str) -> dict[str, Any]:
    who = topic.writers if action == "send" else topic.readers
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{_name(topic)}"},
        "summary": f"{'Written' if action == 'send' else 'Read'} by: {', '.join(who)}",
        "messages": [{"$ref": f"#/channels/{_name(topic)}/messages/{name}"} for name in topic.schemas],
    }


def _message(name: str) -> dict[str, Any]:
    schema = current(name).raw
    return {"name": name, "title": name, "summary": schema["doc"], "payload": {"schemaFormat": AVRO, "schema": schema}}
