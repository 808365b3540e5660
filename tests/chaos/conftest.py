"""What the chaos tests share."""

from __future__ import annotations

from secured_kafka import secured

__all__ = ["secured"]
