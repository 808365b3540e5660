"""What keeps events from being delivered, in plain words."""

from __future__ import annotations

from confluent_kafka import KafkaError

from portalbus.producers.settings import Settings

FINAL = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
    }
)
"""Answers that the same event would get for ever."""

_AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
    }
)
_NO_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_ID,
    }
)
_LOGIN = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
)
_NOT_ALLOWED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


def is_final(error: KafkaError) -> bool:
    """True when sending the same event again is useless."""
    return error.code() in FINAL


def in_plain_words(error: KafkaError, settings: Settings, topic: str) -> str:
    """One sentence for the portal's operator: what is wrong, and what to do."""
    code = error.code()
    if code in _LOGIN or "sasl" in str(error).lower():
        return f"login refused by {settings.bootstrap}: check user name, password and mechanism"
    if code in _NOT_ALLOWED:
        return f"not allowed to write {topic}: ask the operator of the bus to let this login write it"
    if code in _NO_TOPIC:
        who = f"ask the operator of the bus to provision {settings.agency}"
        return f"{topic} does not exist on {settings.bootstrap}: {who}"
    if code == KafkaError._SSL:
        return f"no secure connection with {settings.bootstrap}: check certificates and the names in them"
    if code in _AWAY:
        return f"the broker at {settings.bootstrap} does not answer; events are kept and sent when it is back"
    return f"the broker said: {error.str()} ({error.name()})"


def rank(error: KafkaError) -> int:
    """How much an error explains: a refused login also makes brokers look away, so the higher rank is told."""
    if error.code() in _LOGIN or "sasl" in str(error).lower():
        return 3
    if error.code() in _NOT_ALLOWED or error.code() in _NO_TOPIC or error.code() == KafkaError._SSL:
        return 2
    return 1
