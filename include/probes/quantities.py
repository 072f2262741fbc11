"""Kubernetes quantities (`250m`, `1.5Gi`, `1e3`) as numbers."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]i?|Ki)?")
_FACTOR = {
    "": 1.0,
    **{suffix: 10.0**power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{suffix}i": 1024.0**power for power, suffix in enumerate("KMGTPE", start=1)},
}


def quantity(text: str | int | float | None) -> float | None:
    """Return the number; None stays None, because "no limit" is not "limit 0". ValueError for what is no quantity."""
    if text is None:
        return None
    found = _QUANTITY.fullmatch(str(text))
    if not found or (found[2] or "") not in _FACTOR:
        raise ValueError(f"{text!r} is no Kubernetes quantity")
    return float(found[1]) * _FACTOR[found[2] or ""]
