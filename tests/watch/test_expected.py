from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from include import settings as policy
from include.errors import ConfigurationError
from sandbox.site import PROJECT
from watch.expected import ZONES, load
from watch.settings import EXPECTED_RUNS
from watch.state import expected_since

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
GOOD = {
    "dag_id": "daily_health_check",
    "cron": '"0 9 * * *"',
    "zone": "UTC",
    "grace_minutes": "30",
    "proof": "evidence",
}


def file_of(folder: Path, *entries: dict[str, str]) -> Path:
    file = folder / "expected_runs.yaml"
    lines = ["\n    ".join(f"{key}: {value}" for key, value in entry.items()) for entry in entries]
    file.write_text("runs:\n" + "".join(f"  - {line}\n" for line in lines))
    return file


def test_the_list_in_git_is_good() -> None:
    assert "daily_health_check" in {run.dag_id for run in load(EXPECTED_RUNS)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cron": '"61 9 * * *"'}, "entry 1, cron: Value error, '61 9 * * *' is no cron expression"),
        ({"cron": '"@daily"'}, "'@daily' is no cron expression of five fields"),
        ({"cron": '"0 0 9 * * *"'}, "is no cron expression of five fields"),
        ({"zone": "Europe/Atlantis"}, "entry 1, zone: Value error, 'Europe/Atlantis' is no time zone"),
        ({"grace_minuts": "30"}, "entry 1, grace_minuts: Extra inputs are not permitted"),
        ({"grace_minutes": "-5"}, "entry 1, grace_minutes"),
        ({"grace_minutes": "0"}, "entry 1, grace_minutes"),
        ({"proof": "hope"}, "entry 1, proof: Input should be 'evidence'"),
        ({"dag_id": "Daily Health Check"}, "entry 1, dag_id"),
        (
            {"proof": "good_backup"},
            "entry 1, database: Value error, the proof good_backup needs the name of the database",
        ),
        ({"database": "orchestrator"}, "entry 1, database: Value error, the proof evidence has no database"),
        ({"proof": "good_backup", "database": "a/b"}, "entry 1, database: String should match pattern"),
        ({"proof": "hope", "database": "orchestrator"}, "entry 1, proof: Input should be 'evidence' or 'good_backup'"),
    ],
)
def test_a_wrong_line_is_one_sentence_that_names_it(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(file_of(tmp_path, GOOD | change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("runs: [", "is no YAML"), ("", "the file"), ("runs: []", "runs"), ("- 1", "the file")]
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "expected_runs.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(file)
    assert "\n" not in str(caught.value)


def test_backups_are_expected_of_what_the_settings_back_up() -> None:
    found = {run.dag_id: (run.kind, run.database) for run in load(EXPECTED_RUNS) if run.proof == "good_backup"}
    assert found == {
        "daily_database_backup": ("database", policy.load().backup.database),
        "daily_configuration_backup": ("configuration", policy.load().namespace),
    }


def schedule_of(file: Path) -> tuple[str, str] | None:
    """Return the cron expression and the zone of a DAG, as its file says them."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    timetables = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "slots"]
    if not timetables:
        return None
    cron, zone = timetables[0].args
    names = {setting: name for name, setting in ZONES.items()}
    return ast.literal_eval(cron), names[zone.attr] if isinstance(zone, ast.Attribute) else ast.literal_eval(zone)


def test_every_dag_with_a_schedule_is_listed_with_that_schedule() -> None:
    in_dags = {file.stem: schedule for file in (PROJECT / "dags").glob("*.py") if (schedule := schedule_of(file))}
    listed = {run["dag_id"]: (run["cron"], run["zone"]) for run in yaml.safe_load(EXPECTED_RUNS.read_text())["runs"]}
    assert listed
    assert listed == in_dags


def test_the_zone_of_the_team_comes_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_TIME_ZONE", "Asia/Tokyo")
    monkeypatch.setattr(policy, "load", policy.Settings)
    (run,) = load(file_of(tmp_path, GOOD | {"zone": "team"}))
    assert run.tz.key == "Asia/Tokyo"


def test_a_missing_file_and_a_doubled_entry_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigurationError, match="daily_health_check is listed twice"):
        load(file_of(tmp_path, GOOD, GOOD))


def test_a_run_is_expected_since_it_was_first_listed_whatever_restarts(tmp_path: Path) -> None:
    later = NOW + timedelta(days=3)
    assert expected_since(tmp_path / "state", ["a"], NOW) == {"a": NOW}
    assert expected_since(tmp_path / "state", ["a", "b"], later) == {"a": NOW, "b": later}
    assert expected_since(tmp_path / "state", ["a", "b"], later + timedelta(days=1)) == {"a": NOW, "b": later}


def test_a_damaged_state_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "expected_since.json").write_text("{")
    with pytest.raises(ConfigurationError, match="remove it to begin anew"):
        expected_since(tmp_path, ["a"], NOW)
