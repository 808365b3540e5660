"""The zone of every legal day and office hour."""

from __future__ import annotations

from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
