"""What deletes takes no guess: a number of days that could be meant otherwise is refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include import settings
from include.errors import ConfigurationError


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
    assert said.startswith(f"setting retention.{name}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    "value", ["0", "-1", "6", '"30"', "30.5", "30.0", "true", "30 days", "~", "[30]", "1e3", "99999"]
)
def test_days_in_the_file_are_a_whole_number_within_bounds(fresh: Path, value: str) -> None:
    (fresh / "sandbox.yaml").write_text(f"retention: {{retention_days: {value}}}\n")
    assert "sandbox.yaml" in refused("retention_days")


@pytest.mark.parametrize(("value", "days"), [("7", 7), ("30", 30), ("3650", 3650)])
def test_a_whole_number_within_bounds_is_taken(fresh: Path, value: str, days: int) -> None:
    (fresh / "sandbox.yaml").write_text(f"retention: {{retention_days: {value}}}\n")
    assert settings.load().retention.retention_days == days


@pytest.mark.parametrize(
    "value", ["0", "-1", "6", "30.5", "30.0", "", " 30", "30 ", "٣٠", "3_0", "true", "0x1e", '"30"', "99999"]
)
def test_in_the_environment_only_plain_digits_are_a_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPS_RETENTION__RETENTION_DAYS", value)
    assert "OPS_RETENTION__RETENTION_DAYS" in refused("retention_days")


def test_the_environment_is_text_and_its_plain_digits_are_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_RETENTION__RETENTION_DAYS", "45")
    monkeypatch.setenv("OPS_RETENTION__MONTHLY_KEEPS", "0")
    assert (settings.load().retention.retention_days, settings.load().retention.monthly_keeps) == (45, 0)


def test_a_group_as_json_holds_its_numbers_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_RETENTION", '{"retention_days": 45}')
    assert settings.load().retention.retention_days == 45


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_good", 2),
        ("grace_days", 0),
        ("newest_good_max_age_h", 49),
        ("deletes_max", 0),
        ("deletes_max", 51),
        ("clocks_max_apart_s", 61),
        ("monthly_keeps", -1),
    ],
)
def test_no_setting_weakens_what_must_hold(fresh: Path, name: str, value: int) -> None:
    (fresh / "sandbox.yaml").write_text(f"retention: {{{name}: {value}}}\n")
    refused(name)
