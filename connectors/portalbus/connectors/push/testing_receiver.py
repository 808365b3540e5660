"""One message to one receiver, to see whether it takes it."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from portalbus.connectors.push.messages import Frame, cloudevent
from portalbus.connectors.push.posting import CheckedNetwork, Posted, Poster
from portalbus.connectors.push.subscriptions import Subscription
from portalbus.schemas.identifiers import new_event_id


def post_test(subscription: Subscription) -> Posted:
    """Posts a message of the type Test, signed as all are, and tells what became of it."""
    return asyncio.run(_post(subscription))


async def _post(subscription: Subscription) -> Posted:
    webhook_id = f"test-{new_event_id()}"
    frame = Frame(webhook_id, "/central", "Test", "", datetime.now(UTC), 0)
    with ThreadPoolExecutor(1) as resolvers:
        network = CheckedNetwork(resolvers, private=subscription.internal)
        poster = Poster(subscription.url, network, ssl.create_default_context(), room=1)
        try:
            body = cloudevent(frame, {"subscription": subscription.id})
            return await poster.post(subscription.secrets, webhook_id, body, internal=subscription.internal)
        finally:
            await poster.close()
