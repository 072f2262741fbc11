"""What the disaster-recovery test does when its own Connections are not there: it names each, and restores nothing."""

from __future__ import annotations

import json

import pytest

from include import settings
from include.disaster.pieces import Piece
from include.errors import PermanentError, TransientError
from include.findings import Finding, Report, Severity
from include.settings import BackupLimits
from sre.hooks import disaster
from sre.operators.disaster import RestoreNewestOperator, RestoreOlderOperator
from tests.plugins.fakes import context

IDS = settings.load().connections
OURS = {
    IDS.dr_store: {"conn_type": "aws", "login": "reader", "password": "secret of the reader"},
    IDS.dr_key: {"conn_type": "generic", "password": "AGE-SECRET-KEY-1"},
    IDS.dr_target: {"conn_type": "postgres", "host": "dr", "schema": "postgres", "login": "ops_verify"},
}


@pytest.fixture(autouse=True)
def _nothing_but_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for conn_id in (*OURS, IDS.backup_key, IDS.backup_verifier, IDS.backup_scratch):
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}", raising=False)


def give(monkeypatch: pytest.MonkeyPatch, *conn_ids: str) -> None:
    for conn_id in conn_ids:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(OURS[conn_id]))


def test_three_connections_are_all_that_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, *OURS)
    prover, missing = disaster.kit(BackupLimits())
    assert missing == []
    assert prover
    assert (prover.key, prover.key_from) == ("AGE-SECRET-KEY-1", f"the Connection {IDS.dr_key}")
    assert (prover.store.who, prover.server.name) == (f"the Connection {IDS.dr_store}", "dr:5432/postgres")


def test_m_03_each_connection_that_is_not_there_is_a_missing_piece_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    report = RestoreNewestOperator(task_id="restore_newest", limits=BackupLimits()).look(context())
    (finding,) = report.findings
    assert finding.severity is Severity.CRITICAL
    assert [each["piece"] for each in finding.evidence["missing"]] == [Piece.STORE, Piece.KEY, Piece.TARGET]
    for conn_id in OURS:
        assert f"there is no Airflow Connection '{conn_id}'" in finding.summary
    give(monkeypatch, IDS.dr_store, IDS.dr_target)
    assert [each.piece for each in disaster.kit(BackupLimits())[1]] == [Piece.KEY]


def test_what_was_missing_for_the_newest_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, *OURS)
    told = Finding(
        item="M-03",
        check="pieces",
        subject="s",
        severity=Severity.CRITICAL,
        summary="x",
        evidence={"missing": [{"piece": "extensions", "said": "x"}]},
    )
    newest = Report(source="newest backup", checked=1, findings=(told,)).to_json()
    (finding,) = RestoreOlderOperator(task_id="o", limits=BackupLimits(), newest=newest).look(context()).findings
    assert (finding.severity, finding.check) == (Severity.UNKNOWN, "restored_older")
    assert "not tried" in finding.summary


@pytest.mark.parametrize(
    ("error", "severity"), [(PermanentError("no"), Severity.CRITICAL), (TransientError("later"), Severity.UNKNOWN)]
)
def test_a_step_that_a_person_must_mend_pages_and_one_that_may_go_well_in_a_minute_is_red(
    error: PermanentError | TransientError, severity: Severity
) -> None:
    finding = RestoreNewestOperator(task_id="r", limits=BackupLimits())._failure(error)
    assert finding.severity is severity
    assert finding.blind
    assert (finding.blind.transient, finding.item) == (severity is Severity.UNKNOWN, "M-03")
