"""The ops database for operations, by its Airflow Connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from include import settings
from include.ops import leases
from include.ops.database import OpsDatabase
from include.ops.leases import Lease, Mode, Wanted
from sre import runs
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol


def operations() -> OpsDatabase:
    """Return it as who runs operations."""
    return _as(settings.load().connections.operations)


def approvals() -> OpsDatabase:
    """Return it as who writes down approvals."""
    return _as(settings.load().connections.approvals)


@contextmanager
def leased(
    ti: RuntimeTaskInstanceProtocol, resource: str, mode: Mode, *, wait_s: float = 0.0, op_id: str = ""
) -> Iterator[Lease]:
    """Hold a lease for as long as it takes; RefusedError if somebody else has one that excludes it.

    :param op_id: of the operation; that of the run if empty.
    """
    holder = f"{ti.dag_id}.{ti.task_id} ({ti.run_id})"
    wanted = Wanted(resource=resource, mode=mode, op_id=op_id or runs.op_id(ti.dag_id, ti.run_id), holder=holder)
    with leases.keep(leases.acquire(operations(), wanted, wait_s=wait_s)) as lease:
        yield lease


def _as(conn_id: str) -> OpsDatabase:
    return OpsDatabase(parameters(conn_id), who=conn_id)
