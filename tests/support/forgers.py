"""Agencies that try to speak for others: at the broker, on their own lanes, and at the gateway."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from confluent_kafka import Message, Producer

from bare_kafka import BareClient, Record, tls_context
from certificates import Authority
from forged_events import Forged, Voice, answered_early, forged, in_borrowed_clothes
from honest_agencies import Belongings
from portalbus.schemas.topics import CANONICAL, RELAY_POSITION, lane_of, verdicts_of
from secured_kafka import Denial, SecuredKafka

NO_TOPIC, NO_GROUP = "TopicAuthorizationFailedError", "GroupAuthorizationFailedError"
NO_TRANSACTION = "TransactionalIdAuthorizationFailed"
NO_CERTIFICATE = "SSLV3_ALERT_CERTIFICATE_UNKNOWN"
"""How Java's TLS refuses a client's certificate, whatever is wrong with it."""
RELAY = "portalbus-relay"
"""The transactional id of the relay."""
API_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff")
"""The first request of every client: which requests does the broker know?"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One forgery: who tried what against whom, what it has to come to, and what it came to.

    `denial` is how the broker has to have noted it, `key_id` what the gateway has to have noted. `place` is where the
    record lies on the forger's lane, `event_id` by what it is found when nobody knows where: there the centre decides.
    """

    door: str
    way: str
    what: str
    agency: str
    victim: str
    wanted: str
    got: str = ""
    denial: Denial | None = None
    place: int | None = None
    event_id: str | None = None
    key_id: str | None = None


class Forger:
    """An agency that logs in as itself."""

    def __init__(self, voice: Voice, bootstrap: str, login: Mapping[str, str]) -> None:
        self.agency = voice.own.agency
        self._voice = voice
        self._bootstrap = bootstrap
        self._login = login
        self._user = f"agency-{self.agency.lower()}"

    def on_its_lane(self, victims: Sequence[Belongings]) -> list[Attempt]:
        """Says in the name of each of them, or about what is theirs, whatever it can."""
        tried = [(one, victim.agency) for victim in victims for one in forged(self._voice, victim)]
        return self._put(tried)

    def too_early(self, cases: Mapping[str, str]) -> list[Attempt]:
        """Answers cases, by agency, that are not there yet."""
        return self._put([(answered_early(self._voice, case), agency) for agency, case in cases.items()])

    def its_own_again(self) -> tuple[str, int]:
        """Its own record once more, to the byte; returns its agency and where it lies."""
        (place,) = self._produce([self._voice.own.record])
        return self.agency, place

    def in_borrowed_clothes(self, victims: Sequence[Belongings]) -> list[tuple[str, str]]:
        """Says things of its own under ids and headers of others; returns its agency with each id."""
        self._produce([in_borrowed_clothes(self._voice, victim) for victim in victims])
        return [(self.agency, victim.answer.event_id) for victim in victims]

    async def at_the_broker(self, victims: Sequence[Belongings]) -> list[Attempt]:
        """Writes, reads, deletes and commits what is theirs, and takes the centre's place."""
        async with BareClient(self._bootstrap, self._login) as client:
            found = [attempt async for attempt in self._as_the_centre(client)]
            producer = await client.idempotent_producer()
            for victim in victims:
                found += [attempt async for attempt in self._against(client, victim, producer)]
        return found + await asyncio.to_thread(lambda: [*self._by_librdkafka(victims)])

    async def _against(self, client: BareClient, victim: Belongings, producer: int) -> AsyncIterator[Attempt]:
        agency, record = victim.agency, victim.record
        lane, verdicts, group = lane_of(agency), verdicts_of(agency), f"portalbus-{agency}-www"
        canonical = CANONICAL["DirectivePublished"]
        for topic in (lane, verdicts, canonical):
            said = await client.produce(topic, record)
            yield self._tried(f"writes {topic}", agency, NO_TOPIC, said, "WRITE", "Topic", topic, "Produce")
        said = await client.produce(lane, record, producer)
        yield self._tried("writes its lane once and for all", agency, NO_TOPIC, said, "WRITE", "Topic", lane, "Produce")
        said = await client.produce(lane, record, producer, RELAY)
        denial = ("WRITE", "TransactionalId", RELAY, "Produce")
        yield self._tried("writes its lane in a transaction", agency, NO_TRANSACTION, said, *denial)
        for topic in (lane, verdicts):
            said = await client.fetch(topic)
            yield self._tried(f"reads {topic}", agency, NO_TOPIC, said, "READ", "Topic", topic, "Fetch")
        said = await client.delete_records(lane)
        yield self._tried("deletes its lane", agency, NO_TOPIC, said, "DELETE", "Topic", lane, "DeleteRecords")
        said = await client.commit(group, canonical)
        yield self._tried("moves its group", agency, NO_GROUP, said, "READ", "Group", group, "OffsetCommit")

    async def _as_the_centre(self, client: BareClient) -> AsyncIterator[Attempt]:
        record = self._voice.own.record
        for topic in (*CANONICAL.values(), RELAY_POSITION, verdicts_of(self.agency)):
            said = await client.produce(topic, record)
            yield self._tried(f"writes {topic}", "centre", NO_TOPIC, said, "WRITE", "Topic", topic, "Produce")
        for group in ("portalbus-streams", "portalbus-relay-position"):
            said = await client.commit(group, CANONICAL["DirectivePublished"])
            yield self._tried("moves its group", "centre", NO_GROUP, said, "READ", "Group", group, "OffsetCommit")
        for name in (RELAY, f"forger-{self.agency}"):
            said = await client.begin_transactions(name)
            denial = ("WRITE", "TransactionalId", name, "InitProducerId")
            yield self._tried("begins transactions", "centre", NO_TRANSACTION, said, *denial)

    def _by_librdkafka(self, victims: Sequence[Belongings]) -> Iterator[Attempt]:
        """As a portal would whose settings name another agency: it does not get far enough to send anything."""
        producer = self._producer()
        for victim in victims:
            lane = lane_of(victim.agency)
            said = producer.list_topics(lane, 60).topics[lane].error
            denial = ("DESCRIBE", "Topic", lane, "Metadata")
            name = said.name() if said else "NoError"
            yield self._tried("looks for its lane", victim.agency, "TOPIC_AUTHORIZATION_FAILED", name, *denial)

    def _tried(self, what: str, victim: str, wanted: str, said: str, *denial: str) -> Attempt:
        noted = Denial(self._user, *denial)
        return Attempt("broker", "topic", what, self.agency, victim, wanted, said, noted)

    def _put(self, tried: Sequence[tuple[Forged, str]]) -> list[Attempt]:
        places = self._produce([one.record for one, _ in tried])
        return [
            Attempt("lane", one.way, one.what, self.agency, victim, one.rule, place=place)
            for (one, victim), place in zip(tried, places, strict=True)
        ]

    def _produce(self, records: Iterable[Record]) -> list[int]:
        """Puts records on its own lane; returns their offsets there."""
        places: list[int] = []

        def acknowledged(error: object, message: Message) -> None:
            assert error is None, error
            places.append(message.offset() or 0)

        producer = self._producer()
        for record in records:
            headers: list[tuple[str, Any]] = [*record.headers]
            producer.produce(lane_of(self.agency), record.value, record.key, headers=headers, on_delivery=acknowledged)
        assert producer.flush(60) == 0
        return places

    def _producer(self) -> Producer:
        asked = {"bootstrap.servers": self._bootstrap, "enable.idempotence": True, "log_level": 0}
        return Producer({**self._login, **asked})


def impostors(
    secured: SecuredKafka, victims: Sequence[Belongings], logins: Mapping[str, Mapping[str, str]]
) -> Iterator[Attempt]:
    """Whoever has no right to be an agency logs in as it, or writes its lane with a right that was taken back.

    `logins` are the right ones, by agency.
    """
    former, others = "agency-former", Authority(secured.log.with_name("others"))
    for victim in victims:
        secured.allow(former, lane_of(victim.agency), "Write", "Describe")
    secured.take_back(former)
    for victim in victims:
        user, agency = f"agency-{victim.agency.lower()}", victim.agency
        said = asyncio.run(_log_in(secured, user))
        yield Attempt("broker", "key", "guesses its password", "nobody", agency, "SaslAuthenticationFailed", said)
        assert _handshake(secured.by_certificate, logins[agency]) == "NoError"
        for what, certificate in (
            ("has a certificate of another authority", secured.certificate(user, by=others)),
            ("has a certificate that is out of date", secured.certificate(user, days=0)),
        ):
            said = _handshake(secured.by_certificate, certificate)
            yield Attempt("broker", "key", what, "nobody", agency, NO_CERTIFICATE, said)
    yield from asyncio.run(_former(secured, former, victims))


async def _former(secured: SecuredKafka, user: str, victims: Sequence[Belongings]) -> list[Attempt]:
    found = []
    async with BareClient(secured.by_certificate, secured.certificate(user)) as client:
        for victim in victims:
            lane, said = lane_of(victim.agency), await client.produce(lane_of(victim.agency), victim.record)
            denial = Denial(user, "WRITE", "Topic", lane, "Produce")
            what = "had a right that was taken back"
            found.append(Attempt("broker", "key", what, user, victim.agency, NO_TOPIC, said, denial))
    return found


async def _log_in(secured: SecuredKafka, user: str) -> str:
    """What becomes of a login with a guessed password: the error, `NoError` if there is none."""
    login = secured.login(user, "guessed")
    host, _, port = secured.bootstrap.partition(":")
    try:
        connection = await create_conn(
            host,
            int(port),
            security_protocol="SASL_SSL",
            ssl_context=ssl.create_default_context(cafile=login["ssl.ca.location"]),
            sasl_mechanism="PLAIN",
            sasl_plain_username=user,
            sasl_plain_password=login["sasl.password"],
        )
    except KafkaError as error:
        return type(error).__name__
    connection.close()
    return "NoError"


def _handshake(bootstrap: str, properties: Mapping[str, str]) -> str:
    """What becomes of a client with this certificate: TLS's alert, `NoError` if the broker answers it."""
    host, _, port = bootstrap.partition(":")
    try:
        with (
            socket.create_connection((host, int(port)), 30) as plain,
            tls_context(properties).wrap_socket(plain, server_hostname=host) as secure,
        ):
            # In TLS 1.3 the client has shown its certificate before the server has looked at it.
            secure.sendall(API_VERSIONS)
            return "NoError" if secure.recv(4) else "closed"
    except ssl.SSLError as error:
        return str(error.reason)
