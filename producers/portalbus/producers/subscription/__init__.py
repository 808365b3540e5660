"""The other direction of the SDK: what the centre has accepted, in its order, for portals that show or use it."""

from __future__ import annotations

from portalbus.producers.subscription.place import Place, PlaceFile, PlaceKeeper, SubscriptionInUse
from portalbus.producers.subscription.subscription import Accepted, Batch, Subscription

__all__ = ["Accepted", "Batch", "Place", "PlaceFile", "PlaceKeeper", "Subscription", "SubscriptionInUse"]
