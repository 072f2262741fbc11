"""Where an opened dump lies while it is restored: a folder that only we can read, gone afterwards, and swept if we were killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    place.mkdir(mode=0o700)
    try:
        with _held(place), _room(root):
            yield place
    finally:
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
def _room(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise RefusedError(
            f"the spool {root} is full; what was in it is removed; free some space, or set backup.spool to another disk"
        ) from None


@contextmanager
def _held(place: Path) -> Iterator[None]:
    """Hold a lock that the kernel gives back when this process dies, however it does."""
    with (place / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep(root: Path) -> list[str]:
    """Remove the folders whose process is dead, and return their names."""
    return [place.name for place in sorted(root.glob("*")) if _removed(place)]


def _removed(place: Path) -> bool:
    try:
        file = os.open(place / LOCK, os.O_RDWR)
    except FileNotFoundError:  # killed between making the folder and locking it, or it is being made right now
        return False if _is_fresh(place) else _gone(place)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return _gone(place)
    finally:
        os.close(file)


def _is_fresh(place: Path) -> bool:
    import time

    return time.time() - place.stat().st_mtime < 60


def _gone(place: Path) -> bool:
    shutil.rmtree(place, ignore_errors=True)
    return not place.exists()
