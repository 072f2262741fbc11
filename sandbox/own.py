"""Components that the user brings himself: `make up KUBECONFIG=… DATABASE_URL=…` leaves ours out and uses his."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.component import SetupError
from sandbox.site import Site

LEAVES_OUT: Mapping[str, frozenset[str]] = {
    "KUBECONFIG": frozenset(
        {
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
            "metrics-server",
            "postgres-staging-1",  # Patroni keeps its state in that etcd
            "postgres-staging-2",
        }
    ),
    "DATABASE_URL": frozenset({"postgres"}),
    "REDIS_URL": frozenset({"valkey"}),
    "PROMETHEUS_URL": frozenset({"prometheus"}),
}
"""Variable of `make up`, and our components that it makes needless."""

FOR_HIS_OWN = frozenset({"own-cluster"})
"""Components that have work to do only where the user brings something."""

SCHEMES = {
    "DATABASE_URL": {"postgresql", "postgres"},
    "REDIS_URL": {"redis", "rediss"},
    "PROMETHEUS_URL": {"http", "https"},
}


def remember(site: Site) -> None:
    """Keep what this start was given, so that `make status` and the connections speak of the same components."""
    for variable in LEAVES_OUT:
        kept = _kept(site, variable)
        kept.unlink(missing_ok=True)
        if value := os.environ.get(f"OWN_{variable}"):
            _refuse_nonsense(variable, value)
            kept.touch(mode=0o600)
            kept.write_text(value)


def given(site: Site, variable: str) -> str | None:
    """Return the user's own value of a variable, None where the platform's component is used."""
    kept = _kept(site, variable)
    return kept.read_text() if kept.exists() else None


def left_out(site: Site) -> set[str]:
    """Return our components that do not run; the simulator writes, so it plays on a platform that is all ours or not at all."""
    out = {name for variable, names in LEAVES_OUT.items() if given(site, variable) for name in names}
    idle = set() if given(site, "KUBECONFIG") else FOR_HIS_OWN
    return (out | {"simulator"} if out else out) | idle


def _kept(site: Site, variable: str) -> Path:
    return site.folder("secrets") / f"own-{variable.lower()}"


def _refuse_nonsense(variable: str, value: str) -> None:
    if variable == "KUBECONFIG":
        if not Path(value).is_file():
            raise SetupError(f"KUBECONFIG={value}: no such file; give the path of a kubeconfig")
    elif urlsplit(value).scheme not in SCHEMES[variable] or not urlsplit(value).hostname:
        raise SetupError(
            f"{variable} must be an address that begins with {' or '.join(sorted(SCHEMES[variable]))}://host"
        )
