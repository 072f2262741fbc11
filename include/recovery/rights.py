"""Whether each door of a recovery opens as far as it must, and no further: what `make doctor` asks. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.backups.login import Login
from include.errors import ConfigurationError, RunbookError
from include.ops.database import OpsDatabase
from include.recovery import gateway, leftovers, window, workloads
from include.recovery.cluster import Cluster
from include.settings import RecoveryLimits

if TYPE_CHECKING:
    import httpx
    from redis import Redis


def of_operations(ops: OpsDatabase) -> str:
    """Ask for the stop order and the leases; approving must be refused."""
    why = ops.ask("stopped")
    with ops.session() as session:
        [(held,)] = session.execute("select count(*) from ops.lease where expires_at > clock_timestamp()").fetchall()
        role = "ops.approve_plan(bigint, text, text, timestamptz, boolean, text)"
        [(may,)] = session.execute("select has_function_privilege(%s, 'execute')", [role]).fetchall()
    if may:
        raise ConfigurationError(f"{ops.who} may also approve: whoever plans must not; use the role ops_runner")
    return f"{held} leases are held; {f'everything is ordered to stop: {why}' if why else 'no stop order'}"


def of_approvals(ops: OpsDatabase) -> str:
    """Log in; carrying a plan out must be refused."""
    with ops.session() as session:
        query = "select has_function_privilege(%s, 'execute'), has_function_privilege(%s, 'execute')"
        names = ["ops.approve_plan(bigint, text, text, timestamptz, boolean, text)", "ops.use_plan(bigint, text, text)"]
        [(approves, acts)] = session.execute(query, names).fetchall()
    if not approves or acts:
        raise ConfigurationError(f"{ops.who} must be able to approve and nothing else; use the role ops_approver")
    return "writes approvals down, and carries no plan out"


def of_window(login: Login) -> str:
    """Look until when the restoring role may log in."""
    until = window.window(login)
    return (
        f"{window.ROLE} may log in until {until:%Y-%m-%d %H:%M} UTC" if until else f"{window.ROLE} may not log in now"
    )


def of_restorer(login: Login, keeper: Login) -> str:
    """Try to log in as the restoring role, which must be refused while no window is open."""
    is_open = window.window(keeper) is not None
    try:
        with login.session("doctor") as session:
            session.execute("select 1")
    except RunbookError as error:
        if is_open:
            raise
        return f"is turned away while no recovery runs, as it must be ({str(error)[:80]}…)"
    if not is_open:
        raise ConfigurationError(f"{window.ROLE} can log in though no window is open: alter role {window.ROLE} nologin")
    return "logs in: a recovery runs"


def of_cluster(cluster: Cluster, namespace: str, limits: RecoveryLimits) -> str:
    """Look at the writers; an unknown one would keep a recovery from beginning."""
    try:
        found = workloads.survey(cluster, namespace=namespace, limits=limits)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"may not look at the writers in {namespace}: correct the setting namespace, or apply"
            f" deploy/kubernetes/ops-recover-db.yaml ({error})"
        ) from None
    if found:
        raise ConfigurationError(f"a recovery would not begin: {'; '.join(found[:3])}")
    return f"sees its {len(limits.writers)} writers in {namespace}, and nobody who writes besides"


def of_leftovers(client: Redis, limits: RecoveryLimits) -> str:
    """Count what a recovery would set aside."""
    found = leftovers.counts(client, limits, lambda ids: ids)
    return f"would set {found.sessions} sessions aside and unlink {found.caches} caches"


def of_gateway(client: httpx.Client) -> str:
    """Ask whether the application works, as after a recovery."""
    in_maintenance = gateway.await_healthy(client, within_s=5)
    return f"the application is healthy{', and in maintenance mode' if in_maintenance else ''}"
