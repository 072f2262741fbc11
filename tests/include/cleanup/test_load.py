"""What the application feels of a clean-up: asked at a fixed rate, quiet and busy windows in turns (the benchmark's own way)."""

from __future__ import annotations

import pytest

from benchmarks import cleanup as bench
from sandbox.site import Site
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

LOCK_TIMEOUT_MS = 3000
GOAL = 1.25


@pytest.mark.proof
def test_the_application_hardly_feels_a_clean_up(production: Site, proof: Proof) -> None:
    rows, slices = proof.n(small=2000, full=1_000_000), proof.n(small=2, full=10)
    limits, quiet_s = bench.sliced(slices, share=0.1 if proof.full else 0.005), 6.0 if proof.full else 0.5
    here = bench.Bench(site=production, database=f"load_{proof.seed}")
    bench.make(production, here.database, rows, rows // 10)
    windows, load = bench.under_load(here, 100.0, lambda: bench.by_slices(here, limits, quiet_s))
    assert bench.left(here, limits[-1]) == 0
    assert len(windows["busy"]) == slices
    ratio, longest_ms = bench.p99_over_quiet(windows, load), load.longest_ms(windows["busy"])
    figures = {
        "p99_over_quiet": round(ratio, 3),
        "quiet_over_quiet": round(bench.quiet_over_quiet(windows, load), 3),
        "longest_wait_ms": round(longest_ms, 1),
        "rows": rows - bench.left(here, bench.FLOOR),
        "statements": len(load.asked),
    }
    print(figures)  # noqa: T201 - what pytest shows of a proof
    calm = (ratio <= GOAL or not proof.full) and longest_ms <= LOCK_TIMEOUT_MS  # a short window says nothing of a p99
    what = f"the application's p99 while rows are cleaned up is at most {GOAL} times that of quiet windows beside it"
    proof.held(what, n=slices, held=slices if calm else 0, **figures)
