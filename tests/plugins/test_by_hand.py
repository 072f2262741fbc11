from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sre import by_hand
from tests.plugins.fakes import FakeEvidence, FakeSlack

SET = "Dag Run's state was manually set to `success`."


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    heard: list[tuple[str, ...]] = []
    monkeypatch.setattr(by_hand, "tell", lambda *of: heard.append(of))
    monkeypatch.setattr(
        "threading.Thread", lambda *, target, args, daemon: SimpleNamespace(start=lambda: target(*args))
    )
    return heard


def run(*tags: str) -> Any:
    return SimpleNamespace(dag_id="database_recovery", run_id="manual__1", dag=SimpleNamespace(tags=set(tags)))


def test_who_sets_the_state_of_what_changes_production_is_heard(heard: list[tuple[str, ...]]) -> None:
    by_hand.on_dag_run_success(run("changes-production"), SET)
    by_hand.on_dag_run_failed(run("changes-production"), SET)
    states = [state for *_, state in heard]
    assert states == ["success", "failed"]


@pytest.mark.parametrize(
    ("tags", "message"), [(("changes-production",), "success"), (("read-only",), SET), ((), SET), (("pages",), "")]
)
def test_a_state_that_came_of_itself_or_of_what_only_reads_is_not(
    heard: list[tuple[str, ...]], tags: tuple[str, ...], message: str
) -> None:
    by_hand.on_dag_run_success(run(*tags), message)
    assert heard == []


@pytest.mark.parametrize("down", ["evidence", "slack"])
def test_what_is_down_keeps_the_other_from_nothing(monkeypatch: pytest.MonkeyPatch, down: str) -> None:
    evidence, slack = FakeEvidence(down=down == "evidence"), FakeSlack(down_from=1 if down == "slack" else None)
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda _: evidence)
    monkeypatch.setattr("sre.hooks.slack.ReportSlackHook", lambda _: slack)
    by_hand.tell("database_recovery", "manual__1", "success")
    assert (len(evidence.rows), len(slack.posted)) == ((0, 1) if down == "evidence" else (1, 0))


def test_both_are_told_which_state(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, slack = FakeEvidence(), FakeSlack()
    monkeypatch.setattr("sre.hooks.evidence.EvidenceHook", lambda _: evidence)
    monkeypatch.setattr("sre.hooks.slack.ReportSlackHook", lambda _: slack)
    by_hand.tell("database_recovery", "manual__1", "success")
    assert evidence.rows[0].summary.startswith("state set by hand: success")
    assert "Database recovery: state set by hand: success" in slack.posted["1.0"][0].text
