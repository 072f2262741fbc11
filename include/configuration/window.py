"""The window in which ops-recover-config may write: opened for an approved recovery, shut when it is over.

The API server holds it: an admission policy (deploy/kubernetes/ops-recover-config.yaml) lets that account write in earnest only while
the Lease of its name has a holder. Who sets the holder can do nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from include.configuration.objects import ObjectApi, Refusal
from include.errors import ConfigurationError, RunbookError, VerificationError
from include.ops.database import OpsDatabase
from include.ops.leases import Lease
from include.probes.kubernetes import Json

log = logging.getLogger(__name__)

ACCOUNT = "ops-recover-config"
LEASE: Json = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": ACCOUNT}}
HINT = "check settings connections.recovery_configuration_window, and deploy/kubernetes/ops-recover-config.yaml"


@dataclass(frozen=True)
class Window:
    """The window, as who opens and shuts it.

    :param keeper: the API as ops-recover-window.
    """

    keeper: ObjectApi

    def holder(self) -> str:
        """Return for which operation it is open, "" if it is shut."""
        found = self.keeper.find(LEASE)
        if not found:
            raise ConfigurationError(f"there is no Lease {ACCOUNT} in {self.keeper.namespace}; {HINT}")
        return str((found.get("spec") or {}).get("holderIdentity") or "")

    def open(self, op_id: str) -> None:
        """Let the account write."""
        self._set(op_id)

    def shut(self) -> None:
        """Let it write no more; may be called at any time."""
        self._set(None)

    def _set(self, holder: str | None) -> None:
        self.holder()
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        try:
            self.keeper.merge(LEASE, {"spec": {"holderIdentity": holder, "renewTime": now}})
        except Refusal as refusal:
            raise refusal.error(f"{'open' if holder else 'shut'} the window of {ACCOUNT}; {HINT}") from None
        if self.holder() != (holder or ""):
            raise VerificationError(f"the window of {ACCOUNT} is not what it was set to: look at the Lease {ACCOUNT}")


@contextmanager
def opened(window: Window | None, lease: Lease) -> Iterator[None]:
    """Let the account write as long as this process is at work; each process that goes on opens it anew.

    A window that cannot be shut, or whose process dies, is shut by the reaper within the hour.

    :param window: None for whoever needs none: an administrator.
    :param lease: of the operation; who has lost it does not shut the window: it is another's.
    """
    if not window:
        yield
        return
    window.open(lease.wanted.op_id)
    try:
        yield
    finally:
        try:
            lease.renew()
            window.shut()
        except RunbookError as error:  # what the recovery came to is the news
            log.warning("the window is left to the reaper: %s", error)


def shut_forgotten(window: Window, ops: OpsDatabase) -> str:
    """Shut a window that is open though no recovery is at work; return for which operation it was, "" if there is none."""
    held = window.holder()
    if not held or _restoring(ops):
        return ""
    window.shut()
    return held


def _restoring(ops: OpsDatabase) -> bool:
    with ops.session() as session:
        query = "select from ops.lease where mode = 'config restore' and expires_at > clock_timestamp()"
        return session.execute(query).rowcount > 0
