from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowNotFoundException

from include import errors
from sre.defaults import READS, RUNBOOK_DEFAULTS, WRITES, WRITING_DEFAULTS
from sre.notifiers import failure


@pytest.mark.parametrize(
    ("error", "read", "write"),
    [
        (errors.TransientError("x"), RetryAction.RETRY, RetryAction.RETRY),
        (OSError("x"), RetryAction.RETRY, RetryAction.FAIL),
        (KeyError("x"), RetryAction.RETRY, RetryAction.FAIL),
        (errors.PermanentError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (errors.ConfigurationError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (errors.RefusedError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (errors.VerificationError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (errors.OutcomeUnknownError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (errors.VerdictError("x"), RetryAction.FAIL, RetryAction.FAIL),
        (AirflowNotFoundException("x"), RetryAction.FAIL, RetryAction.FAIL),
    ],
)
def test_what_is_tried_again(error: Exception, read: RetryAction, write: RetryAction) -> None:
    assert READS.evaluate(error, 1, 2).action is read
    assert WRITES.evaluate(error, 1, 2).action is write


def test_every_task_has_an_owner_a_limit_and_a_messenger_and_writes_are_not_repeated() -> None:
    assert RUNBOOK_DEFAULTS.keys() >= {"owner", "retries", "retry_policy", "execution_timeout", "on_failure_callback"}
    assert WRITING_DEFAULTS["retries"] == 0


class Channels:
    """What was told where; a channel in `broken` raises."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.broken: set[str] = set()

    def slack(self, ti: Any, reason: str) -> None:
        self._tell("slack", reason)

    def pagerduty(self, ti: Any, reason: str) -> None:
        self._tell("pagerduty", reason)

    def _tell(self, channel: str, reason: str) -> None:
        self.told.append((channel, reason))
        if channel in self.broken:
            raise errors.TransientError("down")


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    channels = Channels()
    monkeypatch.setattr(failure, "_post", channels.slack)
    monkeypatch.setattr(failure, "_page", channels.pagerduty)
    return channels


class Tagged:
    def __init__(self, *tags: str) -> None:
        self.tags = tags


class Reported:
    told_by_report = True


def context(error: Exception | None, *tags: str, task: object = None) -> Any:
    return {"ti": object(), "exception": error, "dag": Tagged(*tags), "task": task}


@pytest.mark.parametrize(
    ("tags", "told"),
    [(("read-only",), ["slack"]), (("read-only", "pages"), ["slack", "pagerduty"]), ((), ["slack"])],
)
def test_a_failure_is_told_in_slack_and_pages_where_the_runbook_says_so(
    channels: Channels, tags: tuple[str, ...], told: list[str]
) -> None:
    failure.tell_failure(context(errors.TransientError("no answer"), *tags))
    assert [channel for channel, _ in channels.told] == told


@pytest.mark.parametrize("broken", [{"slack"}, {"pagerduty"}, {"slack", "pagerduty"}])
def test_a_broken_channel_neither_raises_nor_silences_the_other(channels: Channels, broken: set[str]) -> None:
    channels.broken = broken
    failure.tell_failure(context(errors.TransientError("no answer"), "pages"))
    assert [channel for channel, _ in channels.told] == ["slack", "pagerduty"]


def test_what_the_report_tells_is_not_told_twice(channels: Channels) -> None:
    failure.tell_failure(context(errors.VerdictError("critical"), "pages"))
    failure.tell_failure(context(errors.TransientError("blind"), "pages", task=Reported()))
    assert channels.told == []


def test_the_reason_holds_no_secret(channels: Channels) -> None:
    failure.tell_failure(context(OSError("postgresql://u:hush-canary@host")))
    assert "hush-canary" not in str(channels.told)


def test_a_task_that_died_without_an_exception_is_told_too(channels: Channels) -> None:
    failure.tell_failure(context(None))
    assert "see its log" in channels.told[0][1]
