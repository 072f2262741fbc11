"""How long rows stay takes no guess: a number that could be meant otherwise is refused in one sentence, before anything is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include import settings
from include.errors import ConfigurationError

BAD = ["0", "-90", "90.5", '"90"', "", "1e9", "1000000000", "89", "90 days", "true", "~", "[90]"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setattr(settings, "CONFIG", tmp_path)
    (tmp_path / "sandbox.yaml").write_text("environment: sandbox\n")
    settings.load.cache_clear()
    yield tmp_path
    settings.load.cache_clear()


def refused(name: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        settings.load()
    said = str(raised.value)
    assert said.startswith(f"setting cleanup.{name}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize("value", BAD)
def test_bug_56_days_in_the_file_are_a_whole_number_not_below_the_floor(fresh: Path, value: str) -> None:
    (fresh / "sandbox.yaml").write_text(f"cleanup: {{execution_logs_days: {value}}}\n")
    assert "sandbox.yaml" in refused("execution_logs_days")


@pytest.mark.parametrize("value", [each for each in BAD if each != '"90"'])
def test_in_the_environment_only_plain_digits_are_a_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPS_CLEANUP__EXECUTION_LOGS_DAYS", value)
    assert "OPS_CLEANUP__EXECUTION_LOGS_DAYS" in refused("execution_logs_days")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audit_logs_days", "364"),
        ("audit_logs_days", "365.0"),
        ("versions_kept", "9"),
        ("versions_kept", "0"),
        ("busy_percent", "0"),
        ("rows_per_batch", "0"),
        ("rows_max", "0"),
        ("audit_lock_days", "0"),
        ("held", "[execution_logs]"),
    ],
)
def test_no_setting_weakens_what_must_hold(fresh: Path, name: str, value: str) -> None:
    (fresh / "sandbox.yaml").write_text(f"cleanup: {{{name}: {value}}}\n")
    refused(name)


def test_only_tables_that_are_cleaned_can_be_held(fresh: Path) -> None:
    (fresh / "sandbox.yaml").write_text("cleanup: {held: {users: because}}\n")
    refused("held.users.[key]")


def test_the_defaults_are_the_procedures_own(fresh: Path) -> None:
    limits = settings.load().cleanup
    assert (limits.execution_logs_days, limits.audit_logs_days, limits.versions_kept) == (90, 365, 10)
    (fresh / "sandbox.yaml").write_text("cleanup: {execution_logs_days: 120}\n")
    settings.load.cache_clear()
    assert settings.load().cleanup.execution_logs_days == 120
