"""A proof: one property, tried on many cases; `make proof` tries the full number and writes down what held."""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "docs" / "proof"


@dataclass
class Proof:
    """How many cases a test tries, from which seed, and where the result goes."""

    name: str
    full: bool
    seed: int

    @property
    def random(self) -> random.Random:
        """A generator that a failed run's printed seed brings back."""
        return random.Random(self.seed)

    def n(self, *, small: int, full: int) -> int:
        """Return how many cases to try in this run."""
        return full if self.full else small

    def held(self, what: str, *, n: int, held: int, **figures: object) -> None:
        """Say how many cases held; the test fails when not all did. Only a full run is written down."""
        print(f"{self.name}: {held}/{n} held (seed {self.seed}): {what}")  # noqa: T201 - what pytest shows of a proof
        if self.full:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / f"{self.name}.json").write_text(json.dumps(self._record(what, n, held, figures), indent=2) + "\n")
        assert held == n, f"{self.name}: only {held} of {n} held (seed {self.seed})"

    def _record(self, what: str, n: int, held: int, figures: dict[str, object]) -> dict[str, object]:
        return {
            "what": what,
            "n": n,
            "held": held,
            "seed": self.seed,
            **figures,
            "machine": machine(),
            "commit": commit(),
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cores": os.cpu_count(), "memory_gb": round(pages / 1e9), "python": platform.python_version()}


def commit() -> str:
    """The commit that was tried; `-dirty` when the tree held more than that."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
