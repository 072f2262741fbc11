"""The run that a task belongs to, as people and messages name it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from include import settings
from include.errors import ConfigurationError, RefusedError
from include.ops.evidence import Try
from include.reporting.slack import Run

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol


def op_id(dag_id: str, run_id: str) -> str:
    """Return the id that every effect of the run carries; the same on every try."""
    return str(uuid5(NAMESPACE_URL, f"{dag_id}/{run_id}"))


def this_try(ti: RuntimeTaskInstanceProtocol) -> Try:
    """Return whose evidence it is."""
    return Try(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        try_number=ti.try_number,
        code_version=settings.load().code_version,
    )


def shown(ti: RuntimeTaskInstanceProtocol, *, late_s: float | None = None, notes: tuple[str, ...] = ()) -> Run:
    """Return the run as a message shows it."""
    return replace(named(ti.dag_id, ti.run_id), late_s=late_s, notes=notes)


def named(dag_id: str, run_id: str) -> Run:
    """Return a run that no task of it tells of."""
    title = dag_id.replace("_", " ").capitalize()
    return Run(title=title, url=url(dag_id, run_id), at=datetime.now(UTC), zone=settings.load().zone)


def url(dag_id: str, run_id: str) -> str:
    """Return the page of the run."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def refuse_backfill(context: Context) -> None:
    """Refuse to run for the past: what is looked at and done is the platform as it is now."""
    run = context["dag_run"]
    if run.run_type == "backfill":
        raise RefusedError(f"{run.dag_id} means now and cannot be backfilled; trigger it by hand instead")


DRY_RUN = ("auto", "yes", "no")
"""Values of the Param `dry_run`; the first is the default."""


def acts(context: Context) -> bool:
    """Return whether the run changes anything: with `auto` a scheduled run does, and a run by hand only shows what it would do.

    ConfigurationError for any other value: a form checks what a person types, and nobody checks what an API call sends.
    """
    chosen = context["params"].get("dry_run")
    if not isinstance(chosen, str) or chosen not in DRY_RUN:
        said = repr(chosen)[:40]
        raise ConfigurationError(
            f"dry_run is one of {', '.join(DRY_RUN)}, not {said}; nothing was changed, trigger it again"
        )
    return chosen == "no" or (chosen == "auto" and context["dag_run"].run_type == "scheduled")


def strictly(value: object, name: str) -> bool:
    """Return a boolean Param, which a template renders as text; ConfigurationError if it is neither."""
    known = {"True": True, "true": True, "False": False, "false": False}
    if str(value) not in known:
        raise ConfigurationError(
            f"{name} is true or false, not {str(value)[:40]!r}; nothing was changed, trigger it again"
        )
    return known[str(value)]
