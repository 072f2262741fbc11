"""What somebody ordered the application to do wrong; kept on disk, so that a restart does not mend it by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path


def _share(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_RULES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "workers_paused": (_flag, "true or false"),
    "failed_share": (_share, "a number from 0 to 1, or null"),
    "held_sessions": (_share, "a number from 0 to 1, or null"),
}


@dataclass(frozen=True)
class Orders:
    """All of them off is a healthy application.

    :param workers_paused: nobody takes work from the queue.
    :param failed_share: share of the executions that fail.
    :param held_sessions: share of the server's connections that are to be in use, whatever that takes.
    """

    workers_paused: bool = False
    failed_share: float | None = None
    held_sessions: float | None = None


class Control:
    """The orders in force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = asyncio.Event()
        self.orders = Orders(**json.loads(path.read_text())) if path.exists() else Orders()

    def order(self, wanted: object) -> Orders:
        """Take these orders, leave the others; ValueError names the one that makes no sense."""
        if not isinstance(wanted, dict):
            raise ValueError("orders are an object of names and values")  # noqa: TRY004 - as the ones below
        for name, value in wanted.items():
            if name not in _RULES:
                raise ValueError(f"no order is called {name!r}; there are {', '.join(_RULES)}")
            accepts, rule = _RULES[name]
            if not accepts(value):
                raise ValueError(f"{name} must be {rule}")
        self.orders = replace(self.orders, **wanted)
        self.path.write_text(json.dumps(asdict(self.orders)))
        self.changed.set()
        return self.orders
