"""Who wrote what drifted: asked of the live objects, whose managedFields no backup keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from include.configuration.bundle import Bundle, KindRead
from include.configuration.drift import Difference, Identity, Place, Writer, writer
from include.configuration.listing import AT_ONCE
from include.probes.kubernetes import DeniedError, Json, Reader

OBJECTS_MAX = 500
"""Objects that are asked for; a night on which more drifted is told without names for the rest."""


def of(reader: Reader, now: Bundle, found: Sequence[Difference]) -> dict[Place, Writer | None]:
    """Return who wrote each difference, None where nobody can know: the object is gone, or it is not shown to us."""
    kinds = {(kind.group, kind.kind): kind for kind in now.kinds}
    wanted = list(dict.fromkeys(each.identity for each in found if each.identity[1] != "file"))[:OBJECTS_MAX]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        live = dict(zip(wanted, pool.map(lambda each: _live(reader, kinds, each), wanted), strict=True))
    return {each.place: writer(live.get(each.identity), each.path) for each in found}


def _live(reader: Reader, kinds: Mapping[tuple[str, str], KindRead], identity: Identity) -> Json | None:
    """Return the metadata of one object; of a Secret nothing else is kept."""
    group, kind, namespace, name = identity
    if not (served := kinds.get((group, kind))):
        return None
    base = f"/apis/{group}/{served.version}" if group else f"/api/{served.version}"
    inside = f"/namespaces/{namespace}" if served.namespaced else ""
    try:
        found: Mapping[str, Any] = reader.get(f"{base}{inside}/{served.plural}/{name}", {})
    except DeniedError:
        return None
    return {"metadata": {"managedFields": found["metadata"].get("managedFields", ())}}
