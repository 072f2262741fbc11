"""What a fault is, and how its switch remembers what it did."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.site import Site

Memo = dict[str, Any]


class FaultError(Exception):
    """The fault could not be switched; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One switch. Both directions may be pressed again and then change nothing more.

    :param target: what it makes sick; of two faults of one target the later takes the earlier's place.
    :param does: one sentence about what happens.
    :param expect: the finding that the morning health check then has.
    :param on: site, memo of the target's earlier fault (or nothing) -> memo, JSON values that `off` needs.
    :param off: mends it, whatever state it is in; the memo may be empty.
    """

    name: str
    target: str
    does: str
    expect: str
    on: Callable[[Site, Memo], Memo]
    off: Callable[[Site, Memo], None]


class Ledger:
    """Which faults are on, by target; written before the deed, so that a switch killed half-way is mended too."""

    def __init__(self, site: Site) -> None:
        self._path = site.folder("faults") / "on.json"

    def read(self) -> dict[str, Memo]:
        """Return target -> {"fault": name, "memo": …}."""
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    @contextmanager
    def alone(self) -> Iterator[dict[str, Memo]]:
        """Hold the ledger against other switches; yields its content, to be given to `write`."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def write(self, entries: Mapping[str, Memo]) -> None:
        """Replace the content."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(entries, indent=1))
        draft.replace(self._path)


def switch_on(site: Site, fault: Fault) -> str:
    """Switch it on; return one line that says what was done."""
    ledger = Ledger(site)
    with ledger.alone() as entries:
        memo = entries.get(fault.target, {}).get("memo", {})
        ledger.write({**entries, fault.target: {"fault": fault.name, "memo": memo}})
        memo = fault.on(site, memo)
        ledger.write({**entries, fault.target: {"fault": fault.name, "memo": memo}})
    return f"{fault.name} on: {fault.does}. Expect: {fault.expect}."


def switch_off(site: Site, fault: Fault) -> str:
    """Switch it off; return one line that says what was done."""
    ledger = Ledger(site)
    with ledger.alone() as entries:
        entry = entries.get(fault.target, {})
        if entry and entry["fault"] != fault.name:
            return f"{fault.name} is not on; {entry['fault']} is, on the same target"
        fault.off(site, entry.get("memo", {}))
        ledger.write({target: other for target, other in entries.items() if target != fault.target})
    return f"{fault.name} off: {fault.target} is as it was" + ("" if entry else " (it was not on)")
