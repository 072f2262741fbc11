"""Stand-ins for what surrounds an operator: its context, and the hooks that leave the process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from include.errors import TransientError
from include.ops.evidence import Earlier, Evidence
from include.reporting.pagerduty import Event
from include.reporting.slack import Message
from sre.hooks.slack import MessageGoneError, Posted


class FakeTask:
    dag_id = "daily_health_check"
    task_id = "the_task"
    run_id = "manual__1"
    try_number = 1

    def __init__(self) -> None:
        self.xcom: dict[str, Any] = {}
        self.states: dict[str, str] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value

    def get_task_states(self, **_: Any) -> dict[str, dict[str, str]]:
        return {self.run_id: self.states}


@dataclass
class FakeRun:
    run_type: str = "manual"
    run_after: datetime = datetime(2030, 1, 2, 9, 0, tzinfo=UTC)
    dag_id: str = "daily_health_check"


class Store(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context(run: FakeRun | None = None) -> Any:
    return {"ti": FakeTask(), "dag_run": run or FakeRun(), "task_state_store": Store()}


@dataclass
class FakeEvidence:
    """Keeps rows; `down` makes it fail as the real one does."""

    down: bool = False
    rows: list[Evidence] = field(default_factory=list)
    before: Earlier = field(default_factory=Earlier)

    def append(self, rows: Iterable[Evidence]) -> int:
        self._answer()
        given = list(rows)
        self.rows += given
        return len(given)

    def earlier(self, dag_id: str, before: datetime, run_id: str) -> Earlier:
        self._answer()
        return self.before

    def _answer(self) -> None:
        if self.down:
            raise TransientError("the evidence database does not answer")


@dataclass
class FakePager:
    down: bool = False
    events: list[Event] = field(default_factory=list)

    def send(self, event: Event) -> None:
        if self.down:
            raise TransientError("PagerDuty says 503: later")
        self.events.append(event)


@dataclass
class FakeSlack:
    """Messages by timestamp; fails from the call with number `down_from` on."""

    down_from: int | None = None
    calls: int = 0
    gone: set[str] = field(default_factory=set)
    posted: dict[str, tuple[Message, str | None]] = field(default_factory=dict)

    def post(self, channel: str, message: Message, *, op_id: str, thread_ts: str | None = None) -> Posted:
        self._answer()
        ts = f"{len(self.posted) + 1}.0"
        self.posted[ts] = (message, thread_ts)
        return Posted("C1", ts)

    def update(self, posted: Posted, message: Message, *, op_id: str) -> Posted:
        self._answer()
        if posted.ts in self.gone:
            raise MessageGoneError("Slack says message_not_found")
        self.posted[posted.ts] = (message, self.posted[posted.ts][1])
        return posted

    def _answer(self) -> None:
        self.calls += 1
        if self.down_from is not None and self.calls >= self.down_from:
            raise TransientError("Slack says 503: later")
