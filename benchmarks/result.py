"""How every benchmark takes its options, prints its table, and keeps its last result beside it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from sandbox.site import PROJECT
from tests.proof import commit, machine


def options(description: str | None) -> argparse.Namespace:
    """Return `json` and `runs`."""
    return parser(description).parse_args()


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return what reads these two, for a benchmark that has options of its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--runs", type=int, default=5, help="how often to measure; the median counts")
    return parser


def finish(name: str, *, ratios: Mapping[str, float], figures: Mapping[str, float], as_json: bool) -> None:
    """Print the table, keep the result as `<name>.json`, and with `as_json` end with it on one line."""
    result = {
        "benchmark": name,
        "ratios": ratios,
        "figures": figures,
        "machine": {**machine(), "commit": commit()},
    }
    (PROJECT / "benchmarks" / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for label, value in {**ratios, **figures}.items():
        print(f"{label:<34} {value:>8}")
    if as_json:
        print(json.dumps(result))
