"""The failover exercise on staging: PostgreSQL and Redis switched over and back, a node drained and given back (M-02)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from include.checks import failover as checks
from include.errors import RefusedError, RunbookError
from include.findings import Finding, Report, Severity
from include.looking import blind
from include.settings import FailoverLimits
from sre import runs
from sre.operators.base import CheckOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.failover.exercise import Pair
    from include.failover.probe import Writer


class ExerciseOperator(CheckOperator):
    """An exercise that leaves findings; its failure is one, critical, and says in which state the target was left.

    A DAG may have the Param `dry_run`; if it says so, nothing is switched, and the finding says what would be. Killed in the middle,
    the next try begins by bringing the target home.

    :param limits: targets and time limits.
    """

    def __init__(self, *, limits: FailoverLimits, source: str, **kwargs: Any) -> None:
        super().__init__(source=source, item=checks.ITEM, **kwargs)
        self.limits = limits
        self.at_work = False

    @property
    @abstractmethod
    def subject(self) -> str:
        """What the findings are about."""

    @abstractmethod
    def exercise(self, run: str) -> Iterable[Finding]:
        """Do it and judge it.

        :param run: name of what the client writes.
        """

    @abstractmethod
    def would(self) -> str:
        """Look only, and return what would be done; RefusedError if it would be refused."""

    def look(self, context: Context) -> Report:
        """Exercise, or say what would be done."""
        runs.refuse_backfill(context)
        if "dry_run" in context.get("params", {}) and not runs.acts(context):
            said = Finding(
                item=self.item,
                check="exercised",
                subject=self.subject,
                severity=Severity.INFO,
                summary=f"dry run: {self.would()}",
            )
            return Report(source=self.source, checked=1, findings=(said,))
        ti = context["ti"]
        run = f"{runs.op_id(ti.dag_id, ti.run_id)}-{ti.try_number}"
        return Report(source=self.source, checked=1, findings=(*self.exercise(run), self._well()))

    def report(self, context: Context) -> Report:
        """Do it; there is no deadline here but the task's own, and a time-out on the way still goes back."""
        self.at_work = True
        try:
            return self.look(context)
        except RunbookError as error:
            return Report(source=self.source, checked=1, findings=(self._failure(error),))
        finally:
            self.at_work = False

    def on_kill(self) -> None:
        """End the exercise when somebody marks or clears the task: what it switched is switched back first."""
        if self.at_work:
            raise RefusedError(f"{self.task_id} was ended from outside in the middle of the exercise")

    def _well(self) -> Finding:
        return Finding(
            item=self.item,
            check="exercised",
            subject=self.subject,
            severity=Severity.OK,
            summary="the exercise ended, and the target is as it was before",
        )

    def _failure(self, error: RunbookError) -> Finding:
        why = blind(error)
        return Finding(
            item=self.item,
            check="exercised",
            subject=self.subject,
            severity=Severity.CRITICAL,
            summary=why.reason,
            next_step="clear this task: it begins by bringing the target home",
            blind=why,
        )


class PairOperator(ExerciseOperator):
    """An exercise with a leader and its followers."""

    @property
    @abstractmethod
    def target_s(self) -> float:
        """The longest time in which no write may be acknowledged."""

    @abstractmethod
    def pair(self, run: str) -> tuple[Pair, Writer]:
        """Return the pair and the client that writes to it."""

    def exercise(self, run: str) -> Iterable[Finding]:
        """Switch over and back."""
        from include.failover.exercise import exercise

        pair, writer = self.pair(run)
        return checks.judge_exercise(exercise(pair, writer, self.limits), self.subject, self.target_s)

    def would(self) -> str:
        """Look who leads and who would take over."""
        from include.failover.exercise import would

        return would(self.pair("dry-run")[0], self.limits)


class ExercisePostgresFailoverOperator(PairOperator):
    """Switch the staging PostgreSQL over by Patroni, and back, while a client writes.

    :param limits: targets and time limits.
    """

    def __init__(self, *, limits: FailoverLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="PostgreSQL failover", **kwargs)

    @property
    def subject(self) -> str:
        """What the findings are about."""
        return f"postgres/{self.limits.postgres_scope}"

    @property
    def target_s(self) -> float:
        """The longest time in which no write may be acknowledged."""
        return self.limits.postgres_gap_target_s

    def pair(self, run: str) -> tuple[Pair, Writer]:
        """Return the pair and the client that writes to it."""
        from sre.hooks import failover

        return failover.postgres(self.limits, run)


class ExerciseRedisFailoverOperator(PairOperator):
    """Switch the staging Redis over by FAILOVER, and back, while a client writes.

    :param limits: targets and time limits.
    """

    def __init__(self, *, limits: FailoverLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="Redis failover", **kwargs)

    @property
    def subject(self) -> str:
        """What the findings are about."""
        return "redis/staging"

    @property
    def target_s(self) -> float:
        """The longest time in which no write may be acknowledged."""
        return self.limits.redis_gap_target_s

    def pair(self, run: str) -> tuple[Pair, Writer]:
        """Return the pair and the client that writes to it."""
        from sre.hooks import failover

        return failover.redis(self.limits, run)


class ExerciseNodeDrainOperator(ExerciseOperator):
    """Drain a node of staging by the eviction API, see its pods come back elsewhere, and give it back.

    :param limits: targets and time limits.
    """

    def __init__(self, *, limits: FailoverLimits, **kwargs: Any) -> None:
        super().__init__(limits=limits, source="node drain", **kwargs)

    @property
    def subject(self) -> str:
        """What the findings are about."""
        return f"namespace/{self.limits.node_namespace}"

    def exercise(self, run: str) -> Iterable[Finding]:
        """Drain and give back."""
        from include.failover.node import exercise_drain
        from sre.hooks import failover

        return checks.judge_drain(exercise_drain(failover.drainer(), self.limits), self.limits.node_gap_target_s)

    def would(self) -> str:
        """Look which node it would be."""
        from include.failover import node
        from sre.hooks import failover

        return node.would(failover.drainer(), self.limits)
