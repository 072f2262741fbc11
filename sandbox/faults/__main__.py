"""`python -m sandbox.faults list`, `… <name> on`, `… <name> off`, `… all off`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from sandbox.faults.catalogue import FAULTS
from sandbox.faults.fault import Fault, FaultError, Ledger, switch_off, switch_on
from sandbox.site import Site, bypass_proxies, default_state

USAGE = "usage: python -m sandbox.faults list | <name> on | <name> off | all off"


def listed(site: Site | None) -> Iterator[str]:
    """Return one line a fault, those that are on marked."""
    on = {entry["fault"] for entry in Ledger(site).read().values()} if site else set()
    for fault in FAULTS.values():
        yield f"{'on ' if fault.name in on else '   '} {fault.name:<26} {fault.does}. Expect: {fault.expect}."


def all_off(site: Site) -> int:
    """Switch off whatever is on; say what would not go off."""
    entries = Ledger(site).read()
    names = [entries[target]["fault"] for target in sorted(entries, key=_rank)]
    if not names:
        print("no fault is on")
    return sum(_switched_off(site, FAULTS[name]) for name in names)


def _rank(target: str) -> int:
    """Servers first, then the receivers, since the others need both."""
    return next((rank for rank, kind in enumerate(("server/", "receivers/")) if target.startswith(kind)), 2)


def _switched_off(site: Site, fault: Fault) -> int:
    try:
        print(switch_off(site, fault))
    except FaultError as error:
        print(f"{fault.name} is still on: {error}", file=sys.stderr)
        return 1
    return 0


def run(words: Sequence[str], site: Site | None) -> int:
    """Do what the words say; return the exit status."""
    match list(words):
        case ["list"]:
            print("\n".join(listed(site)))
            return 0
        case ["all", "off"] if site:
            return 1 if all_off(site) else 0
        case [name, "on" | "off" as way] if site and name in FAULTS:
            print(switch_on(site, FAULTS[name]) if way == "on" else switch_off(site, FAULTS[name]))
            return 0
        case [name, "on" | "off"] if site and name != "all":
            raise FaultError(f"there is no fault called {name!r}; `python -m sandbox.faults list` names them")
        case [_, "on" | "off"] if not site:
            raise FaultError(f"there is no platform in {default_state()}; `make up` starts one")
        case _:
            raise FaultError(USAGE)


def main() -> int:
    """Run, and turn a refusal into one line."""
    bypass_proxies()
    try:
        site = Site.load(default_state())
    except FileNotFoundError:
        site = None
    try:
        return run(sys.argv[1:], site)
    except FaultError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
