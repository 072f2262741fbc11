"""What the ledger says about a small project made for the purpose, true and untrue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from include.catalogue.__main__ import main
from include.catalogue.model import load
from include.errors import ConfigurationError

PROJECT = {
    "dags/daily_round.py": """
from sre.operators.rounds import RoundOperator, LookOperator
with DAG(dag_id="daily_round"):
    RoundOperator(task_id="check_round")
    LookOperator(task_id="look", items=("H-03",))
""",
    "plugins/sre/operators/rounds.py": """
from include.checks.round import judge_round
class LookOperator: ...
class RoundOperator:
    def execute(self, context):
        from include.checks import late
""",
    "include/checks/round.py": 'ITEM = "H-01"\n"""H-09 is only spoken of here."""\n',
    "include/checks/late.py": 'ITEMS = {"late": "H-17+"}\n',
    "include/checks/other.py": 'ITEM = "H-02"\n',
    "tests/test_round.py": """
def test_round(): ...
def helper(): ...
class TestRound:
    async def test_late(self): ...
""",
}
WORKING = {"dag": "daily_round", "task": "check_round", "evidence": "H-01", "test": "tests/test_round.py::test_round"}
HAZARD = {"id": "BUG-01", "harm": "It breaks.", "instead": "It does not."}


def project(root: Path, *items: dict[str, str], hazards: Sequence[Mapping[str, object]] = ()) -> Path:
    """Write the small project with these entries in its ledger."""
    entries = [{"id": f"H-{number:02}", "what": f"Thing {number}.", **item} for number, item in enumerate(items, 1)]
    ledger = {
        "include/catalogue/items.yaml": yaml.safe_dump([{"chapter": "Things", "items": entries}]),
        "include/catalogue/hazards.yaml": yaml.safe_dump(
            [{"chapter": "Harm", "hazards": [dict(hazard) for hazard in hazards]}]
        ),
    }
    for name, text in {**PROJECT, **ledger}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_counts_an_item_that_names_all_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write"], root=project(tmp_path, WORKING, {})) == 0
    assert capsys.readouterr().out.startswith("1/2 items\n")


@pytest.mark.parametrize("missing", ["dag", "task", "evidence", "test"])
def test_does_not_count_an_item_that_lacks_one(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--write"], root=project(tmp_path, {key: value for key, value in WORKING.items() if key != missing}))
    assert capsys.readouterr().out.startswith("0/1 items\n")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dag": "weekly_round"}, "H-01: no file in dags/ has dag_id weekly_round"),
        ({"task": "check_square"}, "H-01: daily_round has no task check_square; it has check_round, look"),
        ({"evidence": "H-02"}, "H-01: nothing behind daily_round.check_round names H-02"),
        ({"evidence": "H-09"}, "H-01: nothing behind daily_round.check_round names H-09"),
        ({"test": "tests/test_round.py::test_square"}, "H-01: no test tests/test_round.py::test_square"),
        ({"test": "tests/test_round.py::helper"}, "H-01: no test tests/test_round.py::helper"),
        ({"test": "tests/test_square.py::test_round"}, "H-01: no test tests/test_square.py::test_round"),
    ],
)
def test_refuses_a_claim_that_is_not_true(
    change: dict[str, str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--write"], root=project(tmp_path, {**WORKING, **change})) == 1
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert printed.out.startswith("0/1 items\n")


@pytest.mark.parametrize(
    "claim",
    [
        {"evidence": "H-17+"},  # named in a module that the operator imports late, inside a method
        {"task": "look", "evidence": "H-03"},  # named in the call itself
        {"test": "tests/test_round.py::TestRound::test_late"},
    ],
)
def test_accepts_a_claim_that_is_true(claim: dict[str, str], tmp_path: Path) -> None:
    assert main(["--write"], root=project(tmp_path, {**WORKING, **claim})) == 0


def test_counts_a_hazard_with_a_test_and_names_one_without_its_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proved = {**HAZARD, "tests": ["tests/test_round.py::test_round"]}
    untrue = {**HAZARD, "id": "AF-01", "tests": ["tests/test_round.py::test_gone"]}
    assert main(["--write"], root=project(tmp_path, hazards=(proved, {**HAZARD, "id": "BUG-02"}, untrue))) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1:] == ["1/2 document hazards", "0/1 platform hazards"]
    assert "AF-01: no test tests/test_round.py::test_gone" in printed.err


def test_refuses_to_leave_out_a_test_that_carries_the_id_of_a_hazard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path, hazards=(HAZARD,))
    (root / "tests/test_more.py").write_text("def test_bug_01_it_breaks(): ...\ndef test_bug_011_is_another(): ...\n")
    assert main(["--write"], root=root) == 1
    assert capsys.readouterr().err == (
        "BUG-01: tests/test_more.py::test_bug_01_it_breaks carries its id; list it in hazards.yaml\n"
    )


def test_refuses_an_id_that_stands_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write"], root=project(tmp_path, {"id": "H-05"}, {"id": "H-05"})) == 1
    assert "H-05: stands 2 times" in capsys.readouterr().err


def test_refuses_pages_older_than_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, WORKING)
    assert main(["--write"], root=root) == 0
    (root / "docs/runbook.md").write_text("yesterday's")
    assert main([], root=root) == 1
    assert "docs/runbook.md: is older than the ledger" in capsys.readouterr().err
    assert (root / "docs/runbook.md").read_text() == "yesterday's"


def test_writes_not_yet_for_what_is_missing(tmp_path: Path) -> None:
    root = project(tmp_path, {}, WORKING)
    main(["--write"], root=root)
    rows = [line for line in (root / "docs/runbook.md").read_text().splitlines() if line.startswith("| H-")]
    assert rows[0] == "| H-01 | Thing 1. | not yet |  |  |"
    assert rows[1].endswith("| `daily_round` `check_round` | `H-01` | [test_round](../tests/test_round.py) |")


@pytest.mark.parametrize("wrong", [{"id": "h-1"}, {"tast": "look"}, {"what": "No full stop"}, {"test": "test_round"}])
def test_names_the_entry_that_is_malformed(wrong: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path, {**WORKING, **wrong})
    with pytest.raises(ConfigurationError, match=r"items\.yaml, entry 0\.items\.0\."):
        load(root / "include/catalogue")
