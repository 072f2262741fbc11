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


def test_the_environment_beats_the_file_and_the_file_beats_the_default(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "sandbox.yaml").write_text("looking: {deadline_s: 7, grace_s: 3}\n")
    monkeypatch.setenv("OPS_LOOKING__DEADLINE_S", "8")
    loaded = settings.load()
    assert (loaded.looking.deadline_s, loaded.looking.grace_s, loaded.time_zone) == (8, 3, "UTC")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("looking: {deadline_s: 0}", "looking.deadline_s"),
        ("looking: {deadlines: 5}", "looking.deadlines"),
        ("tme_zone: UTC", "tme_zone"),
        ("time_zone: Europe/Berlino", "time_zone"),
        ("namespace: 'Not_A_Namespace'", "namespace"),
        ('namespace: "ai-orchestrator\\n"', "namespace"),
        ("reporting: {channel: operations}", "reporting.channel"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it_and_where_to_change_it(
    fresh: Path, text: str, named: str
) -> None:
    (fresh / "sandbox.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        settings.load()
    sentence = str(raised.value)
    assert f"setting {named}:" in sentence
    assert "sandbox.yaml" in sentence
    assert "\n" not in sentence.replace("\\n", "")
    assert raised.value.__cause__ is None


def test_reports_do_not_go_where_alerts_are_read(fresh: Path) -> None:
    (fresh / "sandbox.yaml").write_text("reporting: {channel: '#alerts'}\n")
    with pytest.raises(ConfigurationError) as raised:
        settings.load()
    assert str(raised.value) == (
        "settings: Value error, reporting.channel and alerts.channel are both '#alerts', where our own report would count as an"
        f" alert that nobody answered; change one of them in {fresh / 'sandbox.yaml'} or in OPS_REPORTING__CHANNEL"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPS_NAMESPAC", "ai-orchestrator"),
        ("OPS_LOOKING__DEADLINES", "5"),
        ("OPS_LOOKING", "5"),
        ("OPS_GRAFANA__PANELS", "all of them"),
        ("OPS_LOOKING__DEADLINE_S", "an hour"),
    ],
)
def test_a_wrong_variable_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as raised:
        settings.load()
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_yaml_is_one_sentence_that_names_it(fresh: Path) -> None:
    (fresh / "sandbox.yaml").write_text("looking: [")
    with pytest.raises(ConfigurationError, match=r"sandbox\.yaml is no YAML") as raised:
        settings.load()
    assert "\n" not in str(raised.value)


def test_an_unknown_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_ENVIRONMENT", "moon")
    with pytest.raises(ConfigurationError, match="environment"):
        settings.load()


def test_every_default_is_within_its_own_bounds() -> None:
    assert settings.Settings.model_validate(settings.load().model_dump()) == settings.load()


def test_a_place_without_its_file_is_refused_and_does_not_run_on_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_ENVIRONMENT", "staging")
    settings.load.cache_clear()
    with pytest.raises(ConfigurationError, match=r"there is no .*staging\.yaml: make it"):
        settings.load()
