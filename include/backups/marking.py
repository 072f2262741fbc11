"""What a prover leaves beside a backup: locks on every object, and the mark on its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from include.backups import keys
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.store import Store
from include.errors import RunbookError, VerificationError

log = logging.getLogger(__name__)


def lock(store: Store, backup: Backup[Any], until: datetime) -> None:
    """Let nobody remove any object of it before a moment."""
    assert backup.manifest  # it was believed
    for name, stored in backup.manifest.objects.items():
        store.lock(backup.key + name, stored.version_id, until)
    store.lock(backup.key + keys.MANIFEST, backup.version_id, until)


def mark(store: Store, backup: Backup[Any], written: Mark) -> bool:
    """Return whether it is written; one that is GOOD without its mark is none, and raises."""
    try:
        store.tag(backup.key + keys.MANIFEST, backup.version_id, written.tags())
    except RunbookError as error:
        if written.verdict is Verdict.GOOD:
            raise
        log.warning("BAD could not be written beside %s, which stays as it was: %s", backup.key, error)
        return False
    return True


@contextmanager
def condemned(store: Store, backup: Backup[Any]) -> Iterator[None]:
    """Mark it BAD if what happens inside finds that it differs."""
    try:
        yield
    except VerificationError as error:
        said = f"{backup.key} is BAD: {error}; it will not be used, take another"
        if not backup.problem:  # a torn manifest is BAD by itself, and what was read of it may be the way's fault
            bad = Mark(verdict=Verdict.BAD, at=datetime.now(UTC), manifest=backup.sha256, reason=str(error))
            if not mark(store, backup, bad) and backup.is_good:
                said += " though the bucket still calls it GOOD, since the mark could not be written"
        raise VerificationError(said) from None
