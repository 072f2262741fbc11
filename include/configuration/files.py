"""The application's mounted files: read from a read-only mount, never by a command inside a pod; and the certificates among them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from include.configuration.bundle import decoded, fingerprint, is_secret
from include.configuration.normalise import Object
from include.errors import ConfigurationError, RefusedError

BYTES_MAX = 4 << 20
"""Of one file: configuration is small, and whatever is larger was mounted by mistake."""
FILES_MAX = 2_000
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_OF_KUBERNETES = re.compile(r"^\.\.")
"""What the kubelet puts beside mounted values: `..data` and the dated folder behind it."""


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file by its path below a folder; ConfigurationError if that is not mounted, RefusedError if it is too much."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is not mounted here: mount it read-only into the worker, or correct configuration.folders"
        )
    found = dict(_files(folder))
    if len(found) > FILES_MAX:
        raise RefusedError(f"{folder} holds {len(found)} files and {FILES_MAX} are the most: is it the right folder?")
    return found


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for where, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = sorted(name for name in folders if not _OF_KUBERNETES.match(name))
        for name in sorted(names):
            path = Path(where) / name
            if not _OF_KUBERNETES.match(name):
                yield f"{path.relative_to(folder)}", _read(path)


def _raised(error: OSError) -> None:
    """A folder that cannot be listed is not an empty one."""
    raise ConfigurationError(f"{error.filename} cannot be read ({error.strerror}): let the worker's user read it")


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > BYTES_MAX:
            raise RefusedError(
                f"{path} has {size} bytes or is no file, and {BYTES_MAX} are the most: move it elsewhere"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): let the worker's user read it") from None


def inventory(files: Mapping[str, bytes], key: bytes) -> list[dict[str, Any]]:
    """Return what may be said of files in clear: path, size, a keyed fingerprint, and whether a private key is among them."""
    return [
        {
            "path": path,
            "bytes": len(data),
            "fingerprint": fingerprint(key, f"file/{path}", data),
            "private": bool(_PRIVATE.search(data)),
        }
        for path, data in sorted(files.items())
    ]


def certificates(objects: Iterable[Object], files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the public certificates of the Secrets and of the files, with their ends; what is no certificate is left out."""
    found = {f"file/{path}": data for path, data in files.items()}
    for thing in objects:
        if is_secret(thing) and thing.get("type") == "kubernetes.io/tls":
            name = thing["metadata"]["name"]
            found[f"secret/{name}"] = decoded((thing.get("data") or {}).get("tls.crt", ""))
    return [known for place, data in sorted(found.items()) for known in _certificates(place, data)]


def _certificates(place: str, data: bytes) -> Iterator[dict[str, Any]]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    for number, text in enumerate(_CERTIFICATE.findall(data), 1):
        try:
            read = x509.load_pem_x509_certificate(text)
        except ValueError:
            yield {"place": place, "number": number, "problem": "it is no certificate that can be read"}
            continue
        yield {
            "place": place,
            "number": number,
            "subject": read.subject.rfc4514_string(),
            "issuer": read.issuer.rfc4514_string(),
            "serial": f"{read.serial_number:x}",
            "not_before": read.not_valid_before_utc.isoformat(),
            "not_after": read.not_valid_after_utc.isoformat(),
            "sha256": hashlib.sha256(read.public_bytes(Encoding.DER)).hexdigest(),
            "pem": text.decode(),
        }


def differences(mounted: Mapping[str, bytes], source: Mapping[str, bytes]) -> list[str]:
    """Return what is mounted otherwise than Git has it, one clause each; no content of a file is shown."""
    only_mounted = [f"{path} is mounted and not in Git" for path in sorted(mounted.keys() - source.keys())]
    only_source = [f"{path} is in Git and not mounted" for path in sorted(source.keys() - mounted.keys())]
    both = sorted(mounted.keys() & source.keys())
    return [
        *only_mounted,
        *only_source,
        *(f"{path} differs from Git" for path in both if mounted[path] != source[path]),
    ]


def strangers(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the mounted certificates that no Secret holds: they were put there by hand, or the Secret was renewed since."""
    known = [each for each in found if "sha256" in each]
    of_secrets = {each["sha256"] for each in known if each["place"].startswith("secret/")}
    mounted = [each for each in known if each["place"].startswith("file/")]
    leaves = [each for each in mounted if each["number"] == 1 and each["sha256"] not in of_secrets]
    return sorted(
        f"{each['place'].removeprefix('file/')} ({each['subject']}) is the certificate of no Secret" for each in leaves
    )
