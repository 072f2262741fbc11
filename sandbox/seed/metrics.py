"""The past of the platform's metrics: what Prometheus would have scraped had it run for the last five weeks.

Written as OpenMetrics in stretches, each turned into blocks by `promtool`, before Prometheus starts. A stretch begins
its counters at zero, as pods do that were restarted: `rate` and `increase` do not mind.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TextIO

from sandbox.binaries import program
from sandbox.seed.shape import traffic

KEPT = timedelta(days=36)  # four earlier weekdays and a margin
FINE = timedelta(hours=26)  # what "the last 24 hours" reads, at the resolution of a usual scrape
FINE_STEP_S = 60
COARSE_STEP_S = 150  # two samples in any five minutes, so that rate(x[5m]) has an answer everywhere
SMALLEST_GAP = timedelta(minutes=2)
LINGERING = timedelta(minutes=5)  # how long a series that ended is still seen; it would be added to the live pods'
STRETCH_S = 54 * 3600  # one of Prometheus' own block lengths: one pass over each file

NAMESPACE = "ai-orchestrator"
SCRAPED_AS = {"namespace": NAMESPACE, "job": "simulator", "instance": "simulator"}
POD = {"pod": "history"}

ROUTES = (  # service, route, method, code when well, code when the caller is wrong, requests a second at the peak
    ("api-gateway", "/workflows", "GET", "200", "401", 6.0),
    ("api-gateway", "/workflows", "POST", "201", "422", 2.0),
    ("api-gateway", "/workflows/{id}", "GET", "200", "404", 5.0),
    ("api-gateway", "/executions", "GET", "200", "401", 3.5),
    ("api-gateway", "/health", "GET", "200", "404", 0.5),
    ("auth-service", "/auth/token", "POST", "200", "401", 2.5),
    ("auth-service", "/health", "GET", "200", "404", 0.5),
)
SERVER_ERRORS = 0.002
CALLER_ERRORS = 0.01
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
ANSWERED_WITHIN = {  # share of requests in each bucket when idle, and at the peak
    "api-gateway": (
        (0.01, 0.06, 0.24, 0.46, 0.71, 0.944, 0.988, 0.998, 0.9996, 1.0, 1.0, 1.0),
        (0.00, 0.03, 0.16, 0.36, 0.62, 0.918, 0.982, 0.997, 0.9994, 1.0, 1.0, 1.0),
    ),
    "auth-service": (
        (0.04, 0.18, 0.48, 0.74, 0.91, 0.985, 0.997, 0.9995, 1.0, 1.0, 1.0, 1.0),
        (0.02, 0.10, 0.36, 0.64, 0.86, 0.975, 0.994, 0.9990, 1.0, 1.0, 1.0, 1.0),
    ),
}
MIDDLES_S = (0.003, 0.007, 0.017, 0.037, 0.073, 0.16, 0.35, 0.7, 1.6, 3.4, 7.0, 12.0)
API_KEYS = tuple((f"key-{number:02d}", 0.30 / number) for number in range(1, 9))
EXECUTIONS_PER_S = 0.2
EXECUTIONS = (("succeeded", 0.98), ("failed", 0.014), ("cancelled", 0.006))
NODES = ("node-1", "node-2", "node-3")
NODE_CORES = 8
NODE_MEMORY = 32 * 2**30
CONTAINERS = (  # name, cores when idle, more cores at the peak, MiB
    ("api-gateway", 0.05, 0.30, 220),
    ("auth-service", 0.02, 0.10, 140),
    ("worker", 0.05, 0.50, 380),
    ("scheduler", 0.03, 0.05, 160),
    ("postgres", 0.10, 0.60, 900),
    ("redis", 0.02, 0.08, 120),
)

Sample = Callable[[Random, float, float], Sequence[float]]


@dataclass(frozen=True)
class Family:
    """Series that are drawn together.

    :param series: as they are written, labels included.
    :param sample: random source, load 0..1, seconds since the last sample -> one number a series.
    :param counts: whether the numbers are added up.
    :param of_pods: whether the live series differ by a pod's name, so that these end before those begin.
    """

    series: Sequence[str]
    sample: Sample
    counts: bool
    of_pods: bool = False


def series(name: str, **labels: str) -> str:
    """Write a series as a scrape of the simulator would have stored it."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted({**SCRAPED_AS, **labels}.items()))
    return f"{name}{{{inside}}}"


def families() -> list[Family]:
    """Return all that is backfilled."""
    pods = [_cpu_of_containers(), _memory_of_containers(), _throttling()]
    return [_http(), _keys(), _executions(), _queue(), _cpu_of_nodes(), _memory_of_nodes(), *pods]


def _http() -> Family:
    names = [name for route in ROUTES for name in _request_series(*route[:5])]
    names += [name for service in ANSWERED_WITHIN for name in _duration_series(service)]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        answered = {service: 0 for service in ANSWERED_WITHIN}
        values: list[float] = []
        for service, *_, per_second in ROUTES:
            counts = _by_outcome(random, per_second * load * seconds)
            answered[service] += sum(counts)
            values += counts
        for service, count in answered.items():
            values += _durations(service, count, load)
        return values

    return Family(names, sample, counts=True)


def _request_series(service: str, route: str, method: str, well: str, wrong: str) -> Iterator[str]:
    for code in (well, wrong, "500"):
        yield series("http_requests_total", service=service, route=route, method=method, code=code, **POD)


def _duration_series(service: str) -> Iterator[str]:
    name = "http_request_duration_seconds"
    for limit in BUCKETS:
        yield series(f"{name}_bucket", service=service, le=limit, **POD)
    yield series(f"{name}_count", service=service, **POD)
    yield series(f"{name}_sum", service=service, **POD)


def _by_outcome(random: Random, expected: float) -> list[int]:
    shares = (1 - CALLER_ERRORS - SERVER_ERRORS, CALLER_ERRORS, SERVER_ERRORS)
    return [_poisson(random, expected * share) for share in shares]


def _durations(service: str, count: int, load: float) -> list[float]:
    idle, peak = ANSWERED_WITHIN[service]
    within = [count * (a + (b - a) * load) for a, b in zip(idle, peak, strict=True)]
    parts = [within[0], *(upper - lower for lower, upper in pairwise(within))]
    return [*within, count, sum(part * middle for part, middle in zip(parts, MIDDLES_S, strict=True))]


def _poisson(random: Random, expected: float) -> int:
    if expected > 30:
        return max(0, round(random.gauss(expected, expected**0.5)))
    count, waited = 0, random.expovariate(1)
    while waited < expected:
        count, waited = count + 1, waited + random.expovariate(1)
    return count


def _keys() -> Family:
    routes = [(route, share, per_second) for route, share, per_second in _key_routes()]
    names = [series("api_requests_total", api_key=key, route=route) for route, key, _ in routes]
    rates = [per_second for *_, per_second in routes]
    return Family(names, _poisson_at(rates), counts=True)


def _key_routes() -> Iterator[tuple[str, str, float]]:
    for _, route, method, *_, per_second in ROUTES[:4]:
        for key, share in API_KEYS:
            if method == "GET":
                yield route, key, per_second * share


def _executions() -> Family:
    names = [series("workflow_executions_total", status=status) for status, _ in EXECUTIONS]
    return Family(names, _poisson_at([EXECUTIONS_PER_S * share for _, share in EXECUTIONS]), counts=True)


def _poisson_at(rates: Sequence[float]) -> Sample:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [_poisson(random, rate * load * seconds) for rate in rates]

    return sample


def _queue() -> Family:
    names = [series("queue_depth", queue="workflows"), series("queue_oldest_item_age_seconds", queue="workflows")]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        depth = min(15, 2 + _poisson(random, 7 * load))
        return [depth, round(1 + depth * random.uniform(0.5, 1.5), 1)]

    return Family(names, sample, counts=False)


def _cpu_of_nodes() -> Family:
    names = [
        series("node_cpu_seconds_total", node=node, mode=mode)
        for node in NODES
        for mode in ("idle", "user", "system", "iowait")
    ]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [value for _ in NODES for value in _node_cpu(random, load, NODE_CORES * seconds)]

    return Family(names, sample, counts=True)


def _node_cpu(random: Random, load: float, core_seconds: float) -> list[float]:
    user, system, waiting = ((0.08 + 0.3 * load) * random.uniform(0.9, 1.1), 0.03 + 0.05 * load, 0.005)
    return [core_seconds * share for share in (1 - user - system - waiting, user, system, waiting)]


def _memory_of_nodes() -> Family:
    names = [series(f"node_memory_{which}_bytes", node=node) for node in NODES for which in ("MemTotal", "MemAvailable")]

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        free = [round(NODE_MEMORY * (0.62 - 0.12 * load + random.uniform(-0.01, 0.01))) for _ in NODES]
        return [value for available in free for value in (NODE_MEMORY, available)]

    return Family(names, sample, counts=False)


def _of_containers(name: str) -> list[str]:
    return [series(name, container=container, **POD) for container, *_ in CONTAINERS]


def _cpu_of_containers() -> Family:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [(idle + more * load) * random.uniform(0.9, 1.1) * seconds for _, idle, more, _ in CONTAINERS]

    return Family(_of_containers("container_cpu_usage_seconds_total"), sample, counts=True, of_pods=True)


def _memory_of_containers() -> Family:
    def sample(random: Random, load: float, seconds: float) -> list[float]:
        return [round(mib * 2**20 * (0.9 + 0.1 * load + random.uniform(-0.02, 0.02))) for *_, mib in CONTAINERS]

    return Family(_of_containers("container_memory_working_set_bytes"), sample, counts=False, of_pods=True)


def _throttling() -> Family:
    names = _of_containers("container_cpu_cfs_periods_total") + _of_containers("container_cpu_cfs_throttled_periods_total")

    def sample(random: Random, load: float, seconds: float) -> list[float]:
        periods = [10 * seconds for _ in CONTAINERS]
        return [*periods, *(_poisson(random, count * 0.01 * load) for count in periods)]

    return Family(names, sample, counts=True, of_pods=True)


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


def fill(data: Path, now: datetime, keep: timedelta = KEPT) -> None:
    """Bring the history below `data` up to `now`: all of it the first time, later what a pause left out.

    Prometheus must not be running. Killed half-way, the next call goes on behind the last block that was finished.
    """
    known = newest(data)
    begin = max(known or now - keep, now - keep)
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
    first, last = (int(at.timestamp()) // FINE_STEP_S * FINE_STEP_S for at in (begin, now))
    fine = max(first + FINE_STEP_S, int((now - FINE).timestamp()) // FINE_STEP_S * FINE_STEP_S)
    cuts = {first + FINE_STEP_S, fine, last + 1, *range(first // STRETCH_S * STRETCH_S, last, STRETCH_S)}
    inside = sorted(cut for cut in cuts if cut > first)
    return [(a, b, FINE_STEP_S if a >= fine else COARSE_STEP_S) for a, b in pairwise(inside)]


def _blocks_of(drafts: Path, begin: int, end: int, step_s: int, *, pods_end: datetime) -> Path:
    folder = drafts / str(begin)
    blocks = folder / "blocks"
    blocks.mkdir(parents=True)
    text = folder / "openmetrics"
    # A process of its own, because two of these run side by side.
    writer = [sys.executable, "-m", "sandbox.seed.metrics", text, begin, end, step_s, int(pods_end.timestamp())]
    _run(writer)
    _run([program("promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={STRETCH_S}s", "openmetrics", "--quiet", text, blocks])
    text.unlink()
    return blocks


def _run(words: Iterable[object]) -> None:
    project = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run([str(word) for word in words], cwd=project, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the metrics' history could not be written: {(done.stderr or done.stdout).strip()[-400:]}")


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
