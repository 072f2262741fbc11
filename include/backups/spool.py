"""Where an opened dump lies while it is restored: a folder that only we can read, gone afterwards, and swept if we were killed."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from include.backups.moving import size
from include.errors import ConfigurationError, RefusedError

LOCK = "lock"


@contextmanager
def folder(root: Path, name: str, *, needed_bytes: int, reserve_bytes: int) -> Iterator[Path]:
    """Make a folder of our own below `root` and remove it with all that is in it.

    RefusedError if the disk has no room for `needed_bytes` and the reserve beside them.
    """
    _open_root(root)
    _refuse_full(root, needed_bytes, reserve_bytes)
    place = root / name
    with ExitStack() as held:
        with _locked(root):  # a sweep in between would find a folder that nobody holds
            place.mkdir(mode=0o700)
            held.callback(lambda: shutil.rmtree(place, ignore_errors=True))
            held.enter_context(_locked(place))
        try:
            yield place
        finally:
            with _locked(root):
                shutil.rmtree(place, ignore_errors=True)


def _open_root(root: Path) -> None:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(f"the spool {root} cannot be used ({error.strerror}); set backup.spool") from None


def _refuse_full(root: Path, needed_bytes: int, reserve_bytes: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed_bytes + reserve_bytes:
        raise RefusedError(
            f"the spool {root} has {size(free)} free and needs {size(needed_bytes)} and a reserve of {size(reserve_bytes)};"
            " nothing was fetched; free some space, or set backup.spool to another disk"
        )


@contextmanager
def room(place: Path) -> Iterator[None]:
    """Turn a disk that is full while something is written there into RefusedError."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise RefusedError(
            f"the spool {place.parent} is full; what we wrote is removed; free some space, or set backup.spool to another disk"
        ) from None


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold a lock that the kernel gives back when this process dies, however it does."""
    with (place / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep(root: Path) -> list[str]:
    """Remove the folders whose process is dead, and return their names."""
    if not root.is_dir():
        return []
    with _locked(root):
        return [place.name for place in sorted(root.iterdir()) if place.is_dir() and _is_dead(place) and _gone(place)]


def _is_dead(place: Path) -> bool:
    try:
        with (place / LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # killed before it had one
        return place.is_dir()
    return True


def _gone(place: Path) -> bool:
    shutil.rmtree(place, ignore_errors=True)
    return not place.exists()
