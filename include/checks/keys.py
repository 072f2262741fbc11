"""What the keys of the cache are (F-11, W-09), and which cache keys never run out (R-02), from one walk over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.backups.moving import size
from include.cache.names import OTHER, below, shared
from include.cache.tally import CONFIDENCE, Estimate, Line, digest, lines, merged, together
from include.cache.walk import Large, Walked
from include.findings import Finding, Severity
from include.settings import CacheLimits

PATTERNS = "key_patterns"
"""Check whose evidence holds the families, and where the next walk goes on."""
FAMILIES_KEPT = 100


def judge_walk(walked: Walked, limits: CacheLimits, *, node: str, run_id: str) -> Iterator[Finding]:
    """Judge what a walk saw.

    :param node: where it was; `run_id`: of its process, in which alone its cursor means anything.
    """
    found = tuple(lines(merged(walked.tally.families, limits.named_from_keys), **_extent(walked)))
    everything = together(walked.tally.families, **_extent(walked))
    yield _patterns(walked, everything, found, subject=f"redis/{node}", run_id=run_id)
    yield from _forever(found, limits)
    yield from _large(walked, limits)


def table(walked: Walked, limits: CacheLimits) -> tuple[str, ...]:
    """Return the families that take most, as lines of equal columns."""
    found = lines(merged(walked.tally.families, limits.named_from_keys), **_extent(walked))
    rows = [_row(line) for line, _ in zip(found, range(limits.top), strict=False)]
    return (f"{'prefix':<32} {'keys':>10} {'bytes':>10} {'±':>7} {'no lifetime':>12}  types", *rows)


def _row(line: Line) -> str:
    kinds = ", ".join(list(line.kinds)[:3])
    return (
        f"{line.family[:32]:<32} {line.keys.value:>10.0f} {size(round(line.bytes.value)):>10} {_percent(line.bytes):>7}"
        f" {line.forever.value:>12.0f}  {kinds}"
    )


def _percent(estimate: Estimate) -> str:
    return "?" if estimate.percent is None else f"{estimate.percent:.1f} %"


def _extent(walked: Walked) -> dict[str, Any]:
    return {"seen": walked.tally.seen, "keys": walked.keys, "whole": walked.whole}


def _patterns(walked: Walked, everything: Line, found: Sequence[Line], *, subject: str, run_id: str) -> Finding:
    tally, percent = walked.tally, 100 * min(1.0, walked.tally.seen / max(walked.keys, 1))
    names = "all names" if walked.whole else f"{percent:.0f} % of the names, the next run goes on there"
    unsure = tally.seen == 0
    severity = Severity.UNKNOWN if unsure else Severity.OK if walked.whole else Severity.INFO
    said = (
        f"{walked.keys} keys take about {size(round(everything.bytes.value))} (± {_percent(everything.bytes)}): {names} seen in"
        f" {walked.seconds:.0f} s on {subject.removeprefix('redis/')}, type and lifetime of {tally.asked}"
    )
    return Finding(
        item="F-11",
        check=PATTERNS,
        subject="redis/keys",
        severity=severity,
        summary=said if not unsure else f"no key was seen of {walked.keys}: is it the right server?",
        evidence={
            "request": "SCAN, TYPE, PTTL, MEMORY USAGE",
            "value": round(everything.bytes.value),
            "unit": "bytes",
            "n": tally.asked,
            "error_bytes": _rounded(everything.bytes.error),
            "confidence": CONFIDENCE,
            "seen": tally.seen,
            "keys": walked.keys,
            "seconds": round(walked.seconds, 2),
            "busy_s": round(walked.busy_s, 2),
            "questions": 2 * tally.asked,  # which the node counts as hits
            "node": subject,
            "run_id": run_id,
            "cursor": str(walked.cursor),  # of 64 bits, which JSON numbers do not hold
            "kinds": everything.kinds,
            "lifetimes": everything.lifetimes,
            "families": [_kept(line) for line in found[:FAMILIES_KEPT]],
        },
        next_step="check the database number of the Connection" if unsure else "",
    )


def _kept(line: Line) -> Mapping[str, Any]:
    return {
        "family": line.family,
        "keys": [round(line.keys.value), _rounded(line.keys.error)],
        "bytes": [round(line.bytes.value), _rounded(line.bytes.error)],
        "no_lifetime": [round(line.forever.value), _rounded(line.forever.error)],
        "asked": line.asked,
        "kinds": line.kinds,
        "lifetimes": line.lifetimes,
    }


def _rounded(error: float | None) -> int | None:
    return None if error is None else round(error)


def _forever(found: Sequence[Line], limits: CacheLimits) -> Iterator[Finding]:
    """Name the families below the cache prefixes that hold keys without a lifetime; that there are none is said, too."""
    caches = [line for line in found if below(line.family, limits.prefixes)]
    immortal = [line for line in caches if line.forever.value > 0]
    keys = sum(line.keys.value for line in caches)
    if not immortal:
        where = ", ".join(limits.prefixes)
        yield _lasting(
            "redis/caches", Severity.OK, f"none of {keys:.0f} keys below {where} is without a lifetime", n=keys
        )
    for line in immortal:
        share = line.forever.value / line.keys.value if line.keys.value else 0.0
        error = "?" if line.forever.error is None else f"{line.forever.error:.0f}"
        taken = size(round(line.bytes.value * share))
        said = f"{line.forever.value:.0f} (± {error}) of {line.keys.value:.0f} keys below {line.family} never run out, about {taken}"
        yield _lasting(
            f"prefix/{line.family}",
            Severity.WARNING,
            said,
            "let whoever writes them give them a lifetime; then cache_removal takes those that are there, after an approval",
            value=round(line.forever.value),
            unit="keys",
            threshold="0",
            n=line.asked,
        )


def _lasting(subject: str, severity: Severity, said: str, step: str = "", **evidence: Any) -> Finding:
    return Finding(
        item="R-02",
        check="no_lifetime",
        subject=subject,
        severity=severity,
        summary=said,
        evidence={key: round(value) if key == "n" else value for key, value in evidence.items()},
        next_step=step,
    )


def _large(walked: Walked, limits: CacheLimits) -> Iterator[Finding]:
    """Name the largest keys by the digest of their names. Of what was not seen nothing is known, and that is said."""
    found, tally = walked.largest, walked.tally
    long = sum(_is_long(each, limits) and each.big.size <= limits.big_key_bytes for each in found)
    large = tally.larger + long
    names = shared({name: each.keys for name, each in tally.families.items()}, limits.named_from_keys)
    told = [_as_told(each, names) for each in found]
    worst = (
        f"the largest has {size(told[0]['bytes'])}, a {told[0]['kind']} below {told[0]['family']}"
        if told
        else "none was seen"
    )
    unseen = max(0, walked.keys - tally.seen)
    yield Finding(
        item="F-11",
        check="largest_keys",
        subject="redis/largest",
        severity=Severity.WARNING if large else Severity.OK if told else Severity.UNKNOWN,
        summary=f"{large} keys are larger than {_limit(limits)}: {worst}"
        + (f"; {unseen} were not seen" if unseen else ""),
        evidence={
            "value": told[0]["bytes"] if told else None,
            "unit": "bytes",
            "threshold": f"<= {limits.big_key_bytes}",
            "n": tally.seen,
            "largest": told,
        },
        next_step="split it with its owner; docs/runbooks/weekly_cache_maintenance.md says how to find its name"
        if large
        else "",
    )


def _limit(limits: CacheLimits) -> str:
    return f"{size(limits.big_key_bytes)} or {limits.big_key_elements} elements"


def _is_long(large: Large, limits: CacheLimits) -> bool:
    return (large.elements or 0) > limits.big_key_elements


def _as_told(large: Large, names: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "bytes": large.big.size,
        "family": names.get(large.big.family, OTHER),
        "kind": large.kind,
        "elements": large.elements,
        "name_digest": digest(large.big.name),
    }
