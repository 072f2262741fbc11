"""One bundle of a namespace's configuration: what is public in clear and in a stable order, what is secret sealed beside it.

In clear a Secret has its name, its labels and a keyed fingerprint for each value, by which a change shows and nothing else. The values
lie in `secrets`, sealed to age recipients, together with the SHA-256 of the clear part: the two cannot be exchanged for others.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.backups import sealing
from include.configuration.normalise import Object, order
from include.errors import RefusedError, VerificationError

if TYPE_CHECKING:
    from pyrage.x25519 import Identity, Recipient

FORMAT = 1
FINGERPRINTS = "fingerprints"
"""What a Secret has in the clear part in place of `data`."""
_VALUES = ("data", "stringData")


@dataclass(frozen=True, kw_only=True)
class KindRead:
    """One kind that the API server serves.

    :param n: objects in the bundle; 0 if none, and if it could not be read.
    :param unread: why it could not be read; "" if it was.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    n: int = 0
    unread: str = ""

    @property
    def name(self) -> str:
        """`certificates.cert-manager.io`, `configmaps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A namespace's configuration at one moment.

    :param cluster: uid of the namespace kube-system, which no two clusters share.
    :param objects: in the order in which they are applied; of Secrets without their values, with `fingerprints` instead.
    :param files: inventory of the mounted folders; their contents are sealed.
    :param certificates: the public parts of all that are in Secrets and files.
    :param unmounted: folders that could not be read, and why.
    :param secrets: sealed: the whole Secrets.
    :param contents: sealed: the files by their path.
    """

    cluster: str
    namespace: str
    taken_at: datetime
    server_version: str
    kinds: Sequence[KindRead]
    objects: list[Object]
    left_out: Mapping[str, int] = field(default_factory=dict)
    files: Sequence[Mapping[str, Any]] = ()
    certificates: Sequence[Mapping[str, Any]] = ()
    unmounted: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT
    secrets: bytes = field(default=b"", repr=False)
    contents: bytes = field(default=b"", repr=False)

    @property
    def unread(self) -> Mapping[str, str]:
        """Kinds and folders of which nobody knows whether anything is in them, and why."""
        return {kind.name: kind.unread for kind in self.kinds if kind.unread} | dict(self.unmounted)


@dataclass(frozen=True, kw_only=True)
class OpenedBundle(Bundle):
    """With everything that was sealed, in memory; not to be printed, kept or handed on.

    :param objects: all of them, the Secrets with their values.
    :param opened: the files by their path.
    """

    objects: list[Object] = field(repr=False)
    opened: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def stable(objects: Iterable[Object]) -> list[Object]:
    """Return them in the order in which they are applied, which never depends on that of the listing."""
    return sorted(objects, key=order)


def is_secret(thing: Mapping[str, Any]) -> bool:
    """Whether an object has values that nobody may read."""
    return bool(thing["kind"] == "Secret" and thing["apiVersion"] == "v1")


def fingerprint(key: bytes, place: str, value: bytes) -> str:
    """Return what stands for a secret value: of the same value at another place, or under another key, it is another.

    :param place: `database-credentials/password`.
    """
    return hmac.new(key, place.encode() + b"\0" + value, hashlib.sha256).hexdigest()[:32]


def public(secret: Object, key: bytes) -> Object:
    """Return a Secret as it stands in clear."""
    name = secret["metadata"]["name"]
    shown = {field: value for field, value in secret.items() if field not in _VALUES}
    values = {each: decoded(text) for each, text in (secret.get("data") or {}).items()}
    return shown | {FINGERPRINTS: {each: fingerprint(key, f"{name}/{each}", value) for each, value in values.items()}}


def decoded(text: str) -> bytes:
    """Return the value of one key of a Secret."""
    return base64.b64decode(text or "")


def render(bundle: Bundle) -> bytes:
    """Return the clear part, plain; the same configuration gives the same bytes."""
    head = {
        "format": bundle.format,
        "cluster": bundle.cluster,
        "namespace": bundle.namespace,
        "taken_at": bundle.taken_at.isoformat(),
        "server_version": bundle.server_version,
        "kinds": [vars(kind) for kind in bundle.kinds],
        "left_out": dict(bundle.left_out),
        "files": list(bundle.files),
        "certificates": list(bundle.certificates),
        "unmounted": dict(bundle.unmounted),
    }
    return b"\n".join([_line(head), *map(_line, bundle.objects), b""])


def _line(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def packed(plain: bytes) -> bytes:
    """Return it as it is stored; the same text gives the same bytes."""
    return gzip.compress(plain, compresslevel=6, mtime=0)


def unpacked(stored: bytes) -> bytes:
    """Return the text; VerificationError if it is torn."""
    try:
        return gzip.decompress(stored)
    except (OSError, EOFError, zlib.error):
        raise VerificationError("the bundle is torn: it does not unpack to its end") from None


def parse(plain: bytes, *, secrets: bytes = b"", contents: bytes = b"") -> Bundle:
    """Return the bundle of a clear part; VerificationError if it is torn or of a newer format."""
    try:
        head, *objects = [json.loads(line) for line in plain.splitlines()]
        version = head["format"]
    except (ValueError, KeyError, TypeError):
        raise VerificationError("the bundle is torn: it is not the JSON that we write") from None
    if version != FORMAT:
        raise VerificationError(
            f"the bundle has format {str(version)[:20]!r}, and this code reads {FORMAT}: use its release"
        )
    try:
        return Bundle(
            **{
                name: head[name]
                for name in ("cluster", "namespace", "server_version", "left_out", "unmounted", "format")
            },
            files=tuple(head["files"]),
            certificates=tuple(head["certificates"]),
            taken_at=datetime.fromisoformat(head["taken_at"]),
            kinds=tuple(KindRead(**kind) for kind in head["kinds"]),
            objects=objects,
            secrets=secrets,
            contents=contents,
        )
    except (KeyError, TypeError, ValueError):
        raise VerificationError("the bundle is not one of ours: its head lacks what format 1 has") from None


def seal(bundle: Bundle, secrets: Sequence[Object], files: Mapping[str, bytes], to: Sequence[Recipient]) -> Bundle:
    """Return the bundle with its sealed parts; the plain ones are in memory only.

    :param secrets: the whole Secrets, normalised.
    :param files: contents by path.
    """
    bound = hashlib.sha256(render(bundle)).hexdigest()
    texts = {path: base64.b64encode(data).decode() for path, data in files.items()}
    return replace(
        bundle,
        secrets=sealed(_line({"of": bound, "secrets": stable(secrets)}), to),
        contents=sealed(_line({"of": bound, "files": texts}), to),
    )


def sealed(plain: bytes, to: Sequence[Recipient]) -> bytes:
    """Return the bytes sealed to all of them, each of whom opens it alone."""
    sink = io.BytesIO()
    sealing.seal(io.BytesIO(plain), sink, to)
    return sink.getvalue()


def unseal(bundle: Bundle, identity: Identity) -> OpenedBundle:
    """Return the bundle with what was sealed; VerificationError if that is damaged, another bundle's, or sealed to others."""
    bound = hashlib.sha256(render(bundle)).hexdigest()
    secrets = _opened(bundle.secrets, identity, bound, "Secrets")["secrets"]
    files = _opened(bundle.contents, identity, bound, "files")["files"]
    public_ones = [thing for thing in bundle.objects if not is_secret(thing)]
    if _names(secrets) != _names(filter(is_secret, bundle.objects)):
        raise VerificationError("the Secrets that are sealed are not those which the bundle names")
    opened = {path: base64.b64decode(text) for path, text in files.items()}
    return OpenedBundle(**{**vars(bundle), "objects": stable([*public_ones, *secrets]), "opened": opened})


def _names(things: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(thing["metadata"]["name"] for thing in things)


def _opened(stored: bytes, identity: Identity, bound: str, what: str) -> Any:
    sink = io.BytesIO()
    try:
        sealing.unseal(io.BytesIO(stored), sink, identity)
    except VerificationError as error:
        raise VerificationError(f"the sealed {what} of the bundle: {error}") from None
    found = json.loads(sink.getvalue())
    if found["of"] != bound:
        raise VerificationError(
            f"the sealed {what} are not those of this bundle: they were exchanged, or it was changed"
        )
    return found


def refuse_another(bundle: Bundle, cluster: str, namespace: str) -> None:
    """RefusedError if a bundle is of another cluster or namespace than the one it is meant for."""
    if bundle.cluster != cluster:
        raise RefusedError(
            f"the bundle is of cluster {bundle.cluster}, and this is {cluster}: nothing was changed; choose a bundle of this one"
        )
    if bundle.namespace != namespace:
        raise RefusedError(
            f"the bundle is of namespace {bundle.namespace}, not {namespace}: nothing was changed; choose one of {namespace}"
        )
