from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigurationError
from sre import runs
from tests.plugins.fakes import FakeRun, context


def run(kind: str, **params: Any) -> Any:
    return {**context(FakeRun(run_type=kind)), "params": params}


@pytest.mark.parametrize(
    ("kind", "dry_run", "acts"),
    [
        ("scheduled", "auto", True),
        ("manual", "auto", False),
        ("operator_triggered", "auto", False),
        ("asset_triggered", "auto", False),
        ("backfill", "auto", False),
        ("scheduled", "yes", False),
        ("manual", "yes", False),
        ("scheduled", "no", True),
        ("manual", "no", True),
    ],
)
def test_a_scheduled_run_acts_and_one_by_hand_only_shows_unless_the_form_says_otherwise(
    kind: str, dry_run: str, acts: bool
) -> None:
    assert runs.acts(run(kind, dry_run=dry_run)) is acts


@pytest.mark.parametrize(
    "value", ["No", "no\n", "no ", "", "false", False, True, None, 0, ["no"], {"no": 1}, "auto" * 99]
)
@pytest.mark.parametrize("kind", ["scheduled", "manual"])
def test_anything_else_is_refused_and_named(kind: str, value: object) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^dry_run is one of auto, yes, no, not .*; nothing was changed"
    ) as raised:
        runs.acts(run(kind, dry_run=value))
    assert len(str(raised.value)) < 160


def test_a_run_without_the_parameter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not None"):
        runs.acts(run("scheduled"))
