"""Maintenance mode as the gateway reads it from the ConfigMap: a lease, so a date that has passed switches it off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

BYPASS_HEADER = "X-Maintenance-Bypass"
RETRY_AFTER_S = 120  # when no end is known


def expires_at(config: Mapping[str, str]) -> datetime | None:
    """Return when the mode ends by itself; None when the ConfigMap does not say so in RFC 3339 with an offset."""
    try:
        end = datetime.fromisoformat(config.get("maintenance_expires_at", "").strip())
    except ValueError:
        return None
    return end if end.tzinfo else None


def is_on(config: Mapping[str, str], now: datetime) -> bool:
    """Return whether requests are turned away: switched on, and not past its end."""
    end = expires_at(config)
    return config.get("maintenance_mode") == "true" and (end is None or now < end)


def retry_after_s(config: Mapping[str, str], now: datetime) -> int:
    """Return the seconds until the mode's end, at least 1; a usual pause when no end is known."""
    end = expires_at(config)
    return max(1, int((end - now).total_seconds())) if end else RETRY_AFTER_S


def utc_now() -> datetime:
    """Return the time with its zone."""
    return datetime.now(UTC)
