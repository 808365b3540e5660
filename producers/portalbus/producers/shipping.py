"""The life of one producer instance: rows go out in order, answers come back in order, fates are settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError

from portalbus.producers.backlog import Backlog, Fate, Settled
from portalbus.producers.lane_records import LaneRecord, LaneRecords
from portalbus.producers.lane_writer import LaneWriter
from portalbus.producers.stored_event import StoredEvent
from portalbus.producers.trouble import is_final

READ_ROWS = 500
IN_FLIGHT_ROWS = 4_000
IN_FLIGHT_BYTES = 16 * 1024 * 1024


OnSettled = Callable[[int, bool], None]
OnRecorded = Callable[[Sequence[Settled]], None]


class ShippingBroken(Exception):
    """A record was not acknowledged, so this instance is finished. The culprit is an event up to `suspects`."""

    def __init__(self, error: KafkaError, suspects: int | None) -> None:
        self.error = error
        self.suspects = suspects
        super().__init__(str(error))


@dataclass(slots=True)
class _Sent:
    number: int
    fate: Fate | None = None


@dataclass(slots=True)
class _Shipment:
    event: StoredEvent
    fate: Fate | None = None
    reason: str = ""


class Shipping:
    """Sends the backlog through one writer. `suspects`: one at a time up to that sequence, to find a culprit.

    A record that the broker refuses for good is dead, and later ones of its key are held; all others go on.
    `on_settled` hears of each step: up to which sequence every fate is recorded, and whether all of it was delivered;
    `on_recorded` of each event whose fate it is.
    """

    def __init__(
        self,
        backlog: Backlog,
        writer: LaneWriter,
        records: LaneRecords,
        *,
        suspects: int | None,
        on_success: Callable[[], None],
        on_settled: OnSettled | None = None,
        on_recorded: OnRecorded | None = None,
    ) -> None:
        self._backlog = backlog
        self._writer = writer
        self._records = records
        self._suspects = suspects
        self._on_success = on_success
        self._on_settled = on_settled
        self._on_recorded = on_recorded
        self._blocked = backlog.blocked_keys()
        self._sent = backlog.source_row().delivered_sequence
        self._line: deque[_Shipment] = deque()
        self._again: deque[_Shipment] = deque()
        self._answers: deque[_Sent] = deque()
        self._bytes = 0
        self._error: KafkaError | None = None
        self._event_refused = False
        self._leftover: list[StoredEvent] = []

    @property
    def sent(self) -> int:
        """The last sequence handed over."""
        return self._sent

    @property
    def in_flight(self) -> bool:
        """True while an answer is awaited."""
        return bool(self._line or self._again or self._answers)

    def fill(self) -> None:
        """Hands over as many of the next events as fit."""
        if self._suspects is not None and self._sent >= self._suspects and not self._again:
            self._suspects = None
        room = self._room(IN_FLIGHT_ROWS - len(self._line))
        if room <= 0 or self._bytes > IN_FLIGHT_BYTES or self._error is not None:
            return
        events = self._leftover or self._backlog.after(self._sent, min(room, READ_ROWS))
        self._leftover = []
        for place, event in enumerate(events):
            if event.key in self._blocked:
                self._line.append(_Shipment(event, Fate.HELD, "an earlier event of the same key is dead"))
            else:
                shipment = _Shipment(event)
                if not self._hand_over(event, shipment):
                    self._leftover = events[place:]
                    return
                self._line.append(shipment)
            self._sent = event.sequence
            self._bytes += len(event.body)

    def fill_again(self) -> None:
        """Hands over what the centre or an operator asked for again."""
        room = self._room(READ_ROWS)
        if self._again or room <= 0 or self._error is not None:
            return
        for event in self._backlog.asked_again(room):
            shipment = _Shipment(event)
            if not self._hand_over(event, shipment):
                return
            self._again.append(shipment)

    def fill_answers(self) -> None:
        """Hands over what answers the centre."""
        room = self._room(READ_ROWS)
        if self._answers or room <= 0 or self._error is not None:
            return
        for number, record in self._backlog.answers(room):
            sent = _Sent(number)
            if not self._writer.send(*self._records.answer(self._backlog, record), partial(self._answered, sent)):
                return
            self._answers.append(sent)

    def tell(self, record: LaneRecord) -> None:
        """Hands over a manifest; the next one replaces it, so only its failure is of interest."""
        self._writer.send(*record, self._told)

    def poll(self, seconds: float) -> None:
        """Waits for answers."""
        self._writer.poll(seconds)

    def settle(self) -> bool:
        """Records the answers that came; True when there were some. Raises ShippingBroken after an error."""
        settled = _settled(self._line)
        if settled:
            self._record(settled)
            self._bytes -= sum(len(done.event.body) for done in settled)
        again = _settled(self._again)
        if again:
            self._backlog.settle_again(again)
            self._blocked = self._backlog.blocked_keys()
        said = self._settle_answers()
        if self._error is not None:
            raise ShippingBroken(self._error, None if self._blamed(self._error) else self._sent)
        if settled or again or said:
            self._on_success()
        return bool(settled or again or said)

    def finish(self) -> None:
        """Records the answers that came while the writer was being closed."""
        if settled := _settled(self._line):
            self._record(settled)
        if again := _settled(self._again):
            self._backlog.settle_again(again)
        self._settle_answers()

    def _record(self, settled: Sequence[Settled]) -> None:
        self._backlog.settle(settled)
        if self._on_settled is not None:
            self._on_settled(settled[-1].event.sequence, all(done.fate is Fate.DELIVERED for done in settled))
        if self._on_recorded is not None:
            self._on_recorded(settled)

    def _settle_answers(self) -> bool:
        numbers = []
        while self._answers and self._answers[0].fate is not None:
            numbers.append(self._answers.popleft().number)
        if numbers:
            self._backlog.settle_answers(numbers)
        return bool(numbers)

    def _room(self, usual: int) -> int:
        if self._suspects is None:
            return usual
        return 0 if self.in_flight else 1

    def _blamed(self, error: KafkaError) -> bool:
        """Marks the event dead that was alone when it was refused; False when there were several to suspect."""
        if not self._event_refused:
            return True  # the connection, the login or the topic: no event is to blame
        if len(self._line) + len(self._again) != 1:
            return False
        reason = f"{error.name()}: {error.str()}"
        if self._line:
            self._record([Settled(self._line.popleft().event, Fate.DEAD, reason)])
        else:
            self._backlog.settle_again([Settled(self._again.popleft().event, Fate.DEAD, reason)])
        return True

    def _hand_over(self, event: StoredEvent, shipment: _Shipment) -> bool:
        return self._writer.send(*self._records.of(event), partial(self._answered, shipment))

    def _answered(self, shipment: _Shipment | _Sent, error: KafkaError | None) -> None:
        if error is None:
            shipment.fate = Fate.DELIVERED
        elif self._error is None:
            self._error = error
            self._event_refused = is_final(error)

    def _told(self, error: KafkaError | None) -> None:
        if error is None:
            self._on_success()
        elif self._error is None:
            self._error = error


def _settled(line: deque[_Shipment]) -> list[Settled]:
    """Takes the part of a line whose fates are known from its head."""
    done = []
    while line and (fate := line[0].fate) is not None:
        shipment = line.popleft()
        done.append(Settled(shipment.event, fate, shipment.reason))
    return done
