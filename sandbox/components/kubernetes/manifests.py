"""The YAML below sandbox/manifests and deploy/kubernetes, with what only this site knows filled in.

A manifest writes `@kind:name@`: the digest of a behaviour, a password, a port, a folder, or a part of a certificate.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import yaml

from sandbox.certificates import Pair
from sandbox.components.kubernetes.api import Object
from sandbox.components.kubernetes.layout import NAMESPACE, cluster, folder
from sandbox.images import DIGESTS, image
from sandbox.site import PROJECT, Site

MANIFESTS = PROJECT / "sandbox" / "manifests"
RIGHTS = PROJECT / "deploy" / "kubernetes"
CERTIFICATE_LIFETIME = timedelta(days=90)  # what cert-manager asks for where nobody says otherwise

_PLACEHOLDER = re.compile(r"@([a-z-]+):([\w.-]+)@")


def rendered(site: Site, file: Path) -> str:
    """Return the text of a manifest; KeyError names a placeholder that nobody fills."""
    return _PLACEHOLDER.sub(lambda found: _FILL[found[1]](site, found[2]), file.read_text())


def objects(site: Site, source: Path) -> Iterator[Object]:
    """Yield the objects of a file, or of each file of a folder, in the order of their names."""
    for file in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
        yield from (thing for thing in yaml.safe_load_all(rendered(site, file)) if thing)


def served(site: Site, name: str) -> Pair:
    """Return the certificate that a service of the namespace shows; renewed when it has 30 days left."""
    hosts = (f"{name}.{NAMESPACE}.svc", f"{name}.ai-orchestrator.example")
    return cluster(site).server(f"served-{name}", hosts, lifetime=CERTIFICATE_LIFETIME)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _time(pair: Pair, *, before: timedelta = timedelta()) -> str:
    return (pair.expires - before).strftime("%Y-%m-%dT%H:%M:%SZ")


_FILL: Mapping[str, Callable[[Site, str], str]] = {
    "digest": lambda site, behaviour: DIGESTS[behaviour],
    "image": lambda site, service: image(service),
    "secret": lambda site, name: site.secret(name),
    "port": lambda site, name: str(site.ports[name]),
    "folder": lambda site, name: str(folder(site, name)),
    "authority": lambda site, name: _encoded(cluster(site).ca.certificate),
    "certificate": lambda site, name: _encoded(served(site, name).certificate),
    "key": lambda site, name: _encoded(served(site, name).key),
    "expires": lambda site, name: _time(served(site, name)),
    "renews": lambda site, name: _time(served(site, name), before=timedelta(days=30)),
    "issued": lambda site, name: _time(served(site, name), before=CERTIFICATE_LIFETIME),
}
