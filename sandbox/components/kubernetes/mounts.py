"""What the application's pods have mounted at /app/config and /app/certificates, as folders that the worker sees too."""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox.components.kubernetes.manifests import served
from sandbox.site import PROJECT, Site

SOURCE = PROJECT / "sandbox" / "mounted"
"""What Git says of /app/config."""
CERTIFIED = ("api-gateway", "auth-service")


def folders(site: Site) -> dict[str, Path]:
    """Return each mounted folder by its name."""
    return {name: site.path("application", name) for name in ("config", "certificates")}


def lay(site: Site) -> None:
    """Fill them once; what a person changed there stays."""
    site.folder("application")
    for folder in folders(site).values():
        folder.mkdir(mode=0o700, exist_ok=True)
    config, certificates = folders(site)["config"], folders(site)["certificates"]
    for file in SOURCE.iterdir():
        _once(file, config / file.name)
    for name in CERTIFIED:
        pair = served(site, name)
        _once(pair.certificate, certificates / f"{name}.crt")
        _once(pair.key, certificates / f"{name}.key")


def _once(source: Path, target: Path) -> None:
    if not target.exists():
        shutil.copyfile(source, target)
        target.chmod(0o600)
