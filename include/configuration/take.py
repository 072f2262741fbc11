"""Take a backup of the configuration: list, seal in memory, put, the manifest last. Nothing of it touches a disk."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backups import keys, manifest, sealing
from include.backups.manifest import ConfigurationFacts, ConfigurationManifest, Previous, Stored
from include.backups.store import Store
from include.backups.take import put_manifest
from include.configuration import bundle, files
from include.configuration.bundle import Bundle
from include.configuration.listing import Lister, Seen
from include.errors import PermanentError

if TYPE_CHECKING:
    from pyrage.x25519 import Recipient

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Whose backup it is.

    :param op_id: the same on every try of the run.
    :param attempt: the try.
    :param previous: the newest manifest in the bucket; None if there is none, or if it could not be seen.
    """

    op_id: str
    attempt: int
    code_version: str
    previous: Previous | None = None


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A backup that stands in the bucket and is not proved yet.

    :param sha256: of its manifest; who proves it asks for exactly this one.
    :param not_as_in_git: by folder, what is mounted otherwise than its source has it.
    """

    manifest: ConfigurationManifest
    sha256: str
    bundle: Bundle
    not_as_in_git: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Taker:
    """Who takes: the cluster as an account that reads, the bucket as a user who writes, and no private key.

    :param folders: mounted files by the name that they have in the bundle.
    :param sources: by the same name, where Git has them.
    :param recipients: age public keys by name.
    :param key: of the fingerprints.
    """

    lister: Lister
    folders: Mapping[str, Path]
    sources: Mapping[str, Path]
    store: Store
    recipients: Mapping[str, str]
    key: bytes = field(repr=False)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def take(self, request: Request) -> Taken:
        """Take one; a RunbookError says what was in the way, and the bucket then holds nothing that looks like a backup."""
        to = sealing.recipients(self.recipients, "configuration.recipients")  # refused before anything is read
        began = self.clock()
        seen = self.lister.look()
        mounted, unmounted = self._mounted()
        whole = self.sealed(seen, mounted, unmounted, began, to)
        key = keys.fresh(self.lister.namespace, began, request.op_id, request.attempt, keys.CONFIGURATION)
        objects = self._put(key, whole)
        done = ConfigurationManifest(format=1, facts=self._facts(whole, key, request), objects=objects)
        text = put_manifest(self.store, done)
        log.info("%s: %d objects stored in %.1f s, not proved yet", key, done.facts.objects, done.facts.took_s)
        not_as_in_git = self._against_git(mounted, unmounted)
        return Taken(manifest=done, sha256=manifest.sha256(text), bundle=whole, not_as_in_git=not_as_in_git)

    def sealed(
        self,
        seen: Seen,
        mounted: Mapping[str, bytes],
        unmounted: Mapping[str, str],
        at: datetime,
        to: Sequence[Recipient],
    ) -> Bundle:
        """Return the bundle of what was seen, everything secret in it sealed."""
        clear = [bundle.public(each, self.key) if bundle.is_secret(each) else each for each in seen.objects]
        found = Bundle(
            cluster=seen.cluster,
            namespace=self.lister.namespace,
            taken_at=at,
            server_version=seen.server_version,
            kinds=tuple(seen.kinds),
            objects=bundle.stable(clear),
            left_out=seen.left_out,
            files=tuple(files.inventory(mounted, self.key)),
            certificates=tuple(files.certificates(seen.objects, mounted)),
            unmounted=unmounted,
        )
        return bundle.seal(found, [each for each in seen.objects if bundle.is_secret(each)], mounted, to)

    def _against_git(self, mounted: Mapping[str, bytes], unmounted: Mapping[str, str]) -> dict[str, list[str]]:
        found = {}
        there = {name: source for name, source in self.sources.items() if f"folder {name}" not in unmounted}
        for name, source in there.items():
            inside = {path: data for path, data in mounted.items() if path.startswith(f"{name}/")}
            try:
                wanted = {f"{name}/{path}": data for path, data in files.contents(source).items()}
            except PermanentError as error:
                found[name] = [f"not compared with Git: {error}"]
            else:
                found[name] = files.differences(inside, wanted)
        return found

    def _mounted(self) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return the files of all folders, and the folders that cannot be read, with the reason."""
        found, lost = dict[str, bytes](), dict[str, str]()
        for name, folder in self.folders.items():
            try:
                found |= {f"{name}/{path}": data for path, data in files.contents(folder).items()}
            except PermanentError as error:
                lost[f"folder {name}"] = str(error)
        return found, lost

    def _put(self, key: str, whole: Bundle) -> Mapping[str, Stored]:
        clear = bundle.render(whole)
        objects = bundle.packed(clear)
        return {
            keys.OBJECTS: self._stored(key + keys.OBJECTS, objects, len(clear), manifest.sha256(clear)),
            keys.SECRETS: self._stored(key + keys.SECRETS, whole.secrets),
            keys.FILES: self._stored(key + keys.FILES, whole.contents),
        }

    def _stored(self, key: str, data: bytes, plain_bytes: int = 0, plain_sha256: str = "") -> Stored:
        """Put one part; of a sealed one nothing is said of the plain bytes, since a hash of a secret can be guessed against."""
        put = self.store.put(key, data)
        return Stored(
            version_id=put.id,
            bytes=put.bytes,
            sha256=manifest.sha256(data),
            parts=1,
            plain_bytes=plain_bytes,
            plain_sha256=plain_sha256,
        )

    def _facts(self, whole: Bundle, key: str, request: Request) -> ConfigurationFacts:
        return ConfigurationFacts(
            key=key,
            op_id=request.op_id,
            taken_at=whole.taken_at,
            finished_at=self.clock(),
            code_version=request.code_version,
            recipients=self.recipients,
            previous=request.previous,
            **summary(whole),
        )


def summary(whole: Bundle) -> dict[str, Any]:
    """Return what the manifest says of a bundle, all of it counted from the bundle itself."""
    return {
        "namespace": whole.namespace,
        "cluster": whole.cluster,
        "server_version": whole.server_version,
        "objects": len(whole.objects),
        "secrets": sum(map(bundle.is_secret, whole.objects)),
        "files": len(whole.files),
        "kinds": dict(sorted(Counter(thing["kind"] for thing in whole.objects).items())),
        "left_out": dict(whole.left_out),
        "unread": dict(whole.unread),
    }
