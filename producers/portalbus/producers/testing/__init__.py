"""For the tests of a portal: a broker and a registry inside the test's own process, and valid events to publish.

A pytest plugin comes with the SDK: ask for the fixture `portalbus_bus`, `portalbus_portal` or `published_events`.
No Java, no container, no network: the broker is the one that librdkafka brings for its own tests.
"""

from __future__ import annotations

from portalbus.producers.testing.bus import InProcessBus, PublishedEvent
from portalbus.producers.testing.factories import a_directive, a_feedback, a_step, a_withdrawal, an_answer

__all__ = ["InProcessBus", "PublishedEvent", "a_directive", "a_feedback", "a_step", "a_withdrawal", "an_answer"]
