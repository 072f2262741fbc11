"""The past of the platform's metrics: what Prometheus would have scraped had it run for the last five weeks.

Written as OpenMetrics in stretches, each turned into blocks by `promtool`, before Prometheus starts. A stretch begins
its counters at zero, as pods do that were restarted: `rate` and `increase` do not mind.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TextIO

from sandbox.binaries import program
from sandbox.component import SetupError
from sandbox.seed.series import Family, families
from sandbox.seed.shape import traffic
from sandbox.site import PROJECT

KEPT = timedelta(days=36)  # four earlier weekdays and a margin
STEPS = (  # from this age on backwards, seconds from sample to sample
    (KEPT, 300),  # read in windows of a day
    (timedelta(days=8), 150),  # two samples in any five minutes: rate(x[5m]) of the same hour last week has an answer
    (timedelta(hours=26), 60),  # what "the last 24 hours" reads, as a usual scrape
)
FINEST_S = STEPS[-1][1]
SMALLEST_GAP = timedelta(minutes=2)
LINGERING = timedelta(minutes=5)  # how long a series that ended is still seen; it would be added to the live pods'
STRETCH_S = 162 * 3600  # one of the lengths of Prometheus' own blocks: one pass over each file


def write(out: TextIO, begin: int, end: int, step_s: int, *, pods_end: int) -> None:
    """Write the samples of `begin <= t < end` in OpenMetrics; all times are seconds since 1970.

    :param pods_end: from here on the series that live pods have under other names are left out.
    """
    drawn = families()
    for wanted in (False, True):
        chosen = [family for family in drawn if family.of_pods is wanted]
        until = min(end, pods_end) if wanted else end
        _write_families(out, chosen, range(begin, until, step_s), Random(begin))
    out.write("# EOF\n")


def _write_families(out: TextIO, chosen: Sequence[Family], times: range, random: Random) -> None:
    names = [f"{name} " for family in chosen for name in family.series]
    totals = [0.0] * len(names)
    counts = [family.counts for family in chosen for _ in family.series]
    for at in times:
        load = traffic(datetime.fromtimestamp(at, UTC))
        drawn = [value for family in chosen for value in family.sample(random, load, times.step)]
        totals = [old + new if add else new for old, new, add in zip(totals, drawn, counts, strict=True)]
        ending = f" {at}\n"
        out.writelines(f"{name}{value:.12g}{ending}" for name, value in zip(names, totals, strict=True))


def newest(data: Path) -> datetime | None:
    """Return when a stopped Prometheus last stored anything below `data`; None when it never did."""
    times = [json.loads(meta.read_text())["maxTime"] / 1000 for meta in data.glob("*/meta.json")]
    times += [segment.stat().st_mtime for segment in data.glob("wal/[0-9]*") if segment.stat().st_size]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def fill(data: Path, now: datetime) -> None:
    """Bring the history below `data` up to `now`: all of it the first time, later what a pause left out.

    Prometheus must not be running. Killed half-way, the next call goes on behind the last block that was finished.
    """
    known = newest(data)
    begin = max(known or now - KEPT, now - KEPT)
    if now - begin < SMALLEST_GAP:
        return
    data.mkdir(exist_ok=True)
    drafts = data.parent / "backfill"
    shutil.rmtree(drafts, ignore_errors=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        made = pool.map(lambda stretch: _blocks_of(drafts, *stretch, pods_end=now - LINGERING), stretches(begin, now))
        for folder in made:
            _take_over(folder, data)
    shutil.rmtree(drafts)


def stretches(begin: datetime, now: datetime) -> list[tuple[int, int, int]]:
    """Cut `begin..now` where Prometheus cuts its blocks, and where the resolution changes: (begin, end, step), seconds."""
    first, last = _whole(begin) + FINEST_S, _whole(now)
    changes = {_whole(now - age): step_s for age, step_s in STEPS}
    cuts = {first, last + 1, *changes, *range(first // STRETCH_S * STRETCH_S, last, STRETCH_S)}
    inside = sorted(cut for cut in cuts if first <= cut <= last + 1)
    return [(a, b, min(step for since, step in changes.items() if since <= a)) for a, b in pairwise(inside)]


def _whole(at: datetime) -> int:
    return int(at.timestamp()) // FINEST_S * FINEST_S


def _blocks_of(drafts: Path, begin: int, end: int, step_s: int, *, pods_end: datetime) -> Path:
    folder = drafts / str(begin)
    blocks = folder / "blocks"
    blocks.mkdir(parents=True)
    text = folder / "openmetrics"
    # A process of its own, because two of these run side by side.
    _run([sys.executable, "-m", "sandbox.seed.metrics", text, begin, end, step_s, int(pods_end.timestamp())])
    into_blocks = ["create-blocks-from", f"--max-block-duration={STRETCH_S}s", "openmetrics", "--quiet"]
    _run([program("promtool"), "tsdb", *into_blocks, text, blocks])
    text.unlink()
    return blocks


def _run(words: Iterable[object]) -> None:
    done = subprocess.run([str(word) for word in words], check=False, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"the metrics' history could not be written: {(done.stderr or done.stdout).strip()[-400:]}")


def _take_over(made: Path, data: Path) -> None:
    # In the order of time: `newest` tells the next call where an interrupted one stopped.
    blocks = sorted(made.glob("*/meta.json"), key=lambda meta: json.loads(meta.read_text())["minTime"])
    for meta in blocks:
        _mark_as_late(meta)
        meta.parent.rename(data / meta.parent.name)


def _mark_as_late(meta: Path) -> None:
    # Prometheus drops what its write-ahead log holds from before its newest block, unless that block says that it was
    # written out of order: without this, filling a gap would lose the hours before it.
    content = json.loads(meta.read_text())
    content["compaction"]["hints"] = ["from-out-of-order"]
    meta.write_text(json.dumps(content))


if __name__ == "__main__":
    file, *numbers = sys.argv[1:]
    first_s, end_s, step, pods_end_s = map(int, numbers)
    with Path(file).open("w") as stream:
        write(stream, first_s, end_s, step, pods_end=pods_end_s)
