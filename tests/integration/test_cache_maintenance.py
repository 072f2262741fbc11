"""The cache's runbooks in a running Airflow: twice the weekly look, and a removal that somebody approves, and that is taken back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from sandbox.airflow_api import Airflow
from sandbox.components import valkey
from sandbox.components.airflow import environment
from sandbox.components.postgres import connect
from sandbox.connections import write
from sandbox.site import PROJECT, Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WEEKLY, REMOVAL = "weekly_cache_maintenance", "cache_removal"
OPTIMIZATION = "weekly_performance_optimization"
WHY = "nobody has read these for a month"
ODD = {f"cache:odd:{number} \"'\n{number}": f"value {number}" for number in range(60)}


@dataclass(frozen=True)
class Row:
    verdict: str
    summary: str
    subject: str
    value: float | None
    n: int | None
    detail: Mapping[str, Any]


def rows(site: Site, run_id: str, item: str, check: str) -> list[Row]:
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = """select verdict, summary, subject, value::float8, n, detail from ops.evidence
                   where run_id = %s and item = %s and "check" = %s order by id"""
        return [Row(*row) for row in ops.execute(query, [run_id, item, check]).fetchall()]


@pytest.fixture(scope="module")
def airflow(airflow_site: Site) -> Airflow:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({WEEKLY, REMOVAL, OPTIMIZATION})
    for dag_id in (WEEKLY, REMOVAL, OPTIMIZATION):
        airflow.unpause(dag_id)
    return airflow


@pytest.fixture(scope="module")
def odd(airflow_site: Site) -> Iterator[Redis]:
    """Sixty cache keys without a lifetime, beside what the application has."""
    with valkey.client(airflow_site, "admin") as admin:
        admin.mset(ODD)
        yield admin
        admin.unlink(*ODD)


@pytest.fixture(scope="module")
def weeks(airflow: Airflow, odd: Redis) -> tuple[str, str]:
    """Two runs, one after the other."""
    before = valkey_commands(odd)
    found = []
    for _ in range(2):
        run_id = airflow.trigger(WEEKLY, budget_s=60)
        assert airflow.wait_for_run(WEEKLY, run_id)["state"] == "success", airflow.tasks(WEEKLY, run_id)
        found.append(run_id)
    grown = {name for name, calls in valkey_commands(odd).items() if calls > before.get(name, 0)}
    assert grown & {"del", "unlink", "flushall", "flushdb", "keys", "restore", "config|set", "eval"} == set()
    return found[0], found[1]


def valkey_commands(redis: Redis) -> Mapping[str, int]:
    stats: Any = redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}


def test_r_01_every_node_is_measured_and_its_numbers_are_evidence(
    airflow: Airflow, odd: Redis, weeks: tuple[str, str]
) -> None:
    (memory,) = rows(airflow.site, weeks[0], "R-01", "memory")
    used: Any = odd.info("memory")
    assert memory.value == pytest.approx(100 * used["used_memory"] / used["maxmemory"], rel=0.5)
    checks = {"fragmentation", "evictions", "persistence", "replicas"}
    assert [check for check in checks if len(rows(airflow.site, weeks[0], "R-01", check)) != 1] == []


def test_r_02_bug_59_cache_keys_without_a_lifetime_are_named_and_nothing_is_deleted(
    airflow: Airflow, odd: Redis, weeks: tuple[str, str]
) -> None:
    found = {row.subject: row for row in rows(airflow.site, weeks[0], "R-02", "no_lifetime")}
    assert found["prefix/cache:odd:"].verdict == "WARNING"
    assert found["prefix/cache:odd:"].value == len(ODD)
    assert odd.exists(*ODD) == len(ODD)
    (lingering,) = rows(airflow.site, weeks[0], "R-02", "expired_lingering")
    assert lingering.verdict == "OK"


def test_r_03_the_advice_of_the_server_itself_is_evidence(airflow: Airflow, odd: Redis, weeks: tuple[str, str]) -> None:
    (advice,) = rows(airflow.site, weeks[0], "R-03", "memory_advice")
    said: Any = odd.execute_command("MEMORY DOCTOR")  # type: ignore[no-untyped-call]
    assert advice.detail["advice"][:20] == " ".join(str(said).split())[:20]
    assert (advice.value or 0) > 0


def test_f_10_the_second_run_counts_since_the_first(airflow: Airflow, weeks: tuple[str, str]) -> None:
    (first,) = rows(airflow.site, weeks[0], "F-10", "counters")
    (ratio,) = rows(airflow.site, weeks[1], "F-10", "hit_ratio")
    assert "since the last look" in ratio.summary
    (second,) = rows(airflow.site, weeks[1], "F-10", "counters")
    asked = sum(second.detail["counters"][name] - first.detail["counters"][name] for name in ("hits", "misses"))
    (patterns,) = rows(airflow.site, weeks[1], "F-11", "key_patterns")
    assert patterns.n
    assert (
        ratio.n or 0
    ) <= asked - patterns.n  # two of our own questions for each key that was measured are in between


def test_f_11_keys_are_known_by_prefix_type_lifetime_and_bytes(
    airflow: Airflow, odd: Redis, weeks: tuple[str, str]
) -> None:
    (patterns,) = rows(airflow.site, weeks[0], "F-11", "key_patterns")
    families = {each["family"]: each for each in patterns.detail["families"]}
    assert families["cache:odd:"]["keys"] == [len(ODD), 0]
    assert families["cache:odd:"]["kinds"] == {"string": len(ODD)}
    assert families["cache:odd:"]["no_lifetime"][0] == len(ODD)
    truth = sum(int(str(odd.memory_usage(key, samples=5))) for key in ODD)
    assert families["cache:odd:"]["bytes"] == [truth, 0]
    assert patterns.detail["keys"] == pytest.approx(int(str(odd.dbsize())), rel=0.2)


def test_w_09_the_weeks_ratio_and_the_prefixes_that_would_gain_are_told(
    airflow: Airflow, weeks: tuple[str, str]
) -> None:
    run_id = airflow.trigger(OPTIMIZATION)
    airflow.wait_for_run(OPTIMIZATION, run_id)
    assert airflow.tasks(OPTIMIZATION, run_id)["check_cache"]["state"] == "success"
    (prefixes,) = rows(airflow.site, run_id, "W-09", "prefixes")
    assert prefixes.verdict == "WARNING"
    assert f"cache:odd: holds {len(ODD)} keys without a lifetime: give them one" in prefixes.detail["advice"]
    (ratio,) = rows(airflow.site, run_id, "W-09", "hit_ratio")
    assert "since the last look" in ratio.summary


def test_no_name_of_a_key_is_in_evidence_slack_or_log(airflow: Airflow, weeks: tuple[str, str]) -> None:
    with connect(airflow.site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        kept = str(ops.execute("select * from ops.evidence where run_id = any(%s)", [list(weeks)]).fetchall())
    log = str(airflow.get(f"dags/{WEEKLY}/dagRuns/{weeks[0]}/taskInstances/analyze_keys/logs/1"))
    recorded = httpx.get(f"{airflow.site.url('receivers')}/_recorded/slack", timeout=10).text
    assert "cache:odd:" in log
    names = [text for text in (kept, log, recorded) if re.search(r"cache:odd:\d", text)]
    assert names == []


def test_a_budget_of_zero_is_refused_by_the_form_and_by_the_step(airflow: Airflow) -> None:
    from include.errors import ConfigurationError
    from sre.operators.cache import seconds

    with pytest.raises(httpx.HTTPStatusError):
        airflow.trigger(WEEKLY, budget_s=0)
    for wrong in ("0", "-1", "1801", "1.5", "ten", "", "5\n", None, "{{ params.budget_s }}"):
        with pytest.raises(
            ConfigurationError, match=r"budget_s: a whole number of seconds from 1 to 1800, not .*; nothing was"
        ):
            seconds(wrong)


# --- removal ------------------------------------------------------------------------------------------------------------------------


def begun(airflow: Airflow, **form: Any) -> str:
    asked = {"prefix": "cache:odd:", "which": "without a lifetime", "reason": WHY} | form
    return Airflow(airflow.site, "operator_one").trigger(REMOVAL, **asked)


def ended(airflow: Airflow, run_id: str) -> tuple[str, dict[str, str]]:
    state = airflow.wait_for_run(REMOVAL, run_id)["state"]
    return state, {name: each["state"] for name, each in airflow.tasks(REMOVAL, run_id).items()}


def test_a_run_by_hand_shows_the_plan_with_its_numbers_and_changes_nothing(airflow: Airflow, odd: Redis) -> None:
    before = valkey_commands(odd).get("unlink", 0)
    run_id = begun(airflow)
    assert ended(airflow, run_id)[0] == "success"
    (planned,) = rows(airflow.site, run_id, "R-02", "planned")
    assert f"Would be removed: {len(ODD)} keys" in planned.summary
    assert [row.summary for row in rows(airflow.site, run_id, "R-02", "dry_run")] == [
        "only planned: trigger it with dry_run = no to carry it out"
    ]
    assert odd.exists(*ODD) == len(ODD)
    assert valkey_commands(odd).get("unlink", 0) == before


def test_a_prefix_outside_the_list_is_refused_in_one_sentence(airflow: Airflow) -> None:
    run_id = begun(airflow, prefix="queue:", dry_run="no")
    state, tasks = ended(airflow, run_id)
    assert (state, tasks["plan_removal"], tasks["remove_keys"]) == ("failed", "failed", "upstream_failed")
    (refused,) = rows(airflow.site, run_id, "R-02", "planned")
    assert (
        refused.summary
        == "prefix: keys below queue: are never removed, only those below cache: (cache.prefixes); nothing was changed"
    )


def test_what_somebody_else_approved_is_removed_and_one_command_brings_it_back(
    airflow: Airflow, odd: Redis, tmp_path: Path
) -> None:
    run_id = begun(airflow, dry_run="no")
    airflow.wait_for_question(REMOVAL, run_id, "approve_plan")
    path = f"dags/{REMOVAL}/dagRuns/{run_id}/taskInstances/approve_plan/-1/hitlDetails"
    answer = {"chosen_options": ["Approve"], "params_input": {"approvers_reason": "seen in the report, I agree"}}
    Airflow(airflow.site, "recovery_approver").send("PATCH", path, answer)
    assert ended(airflow, run_id)[0] == "success"
    assert odd.exists(*ODD) == 0
    assert odd.exists(valkey.QUEUE) or int(str(odd.dbsize())) > 100
    (removed,) = rows(airflow.site, run_id, "R-02", "removed")
    assert removed.value == len(ODD)
    op_id = removed.detail["op_id"]
    assert f"python -m include.cache undo {op_id}" in removed.summary
    command = [sys.executable, "-m", "include.cache", "undo", op_id, "--connections", str(write(airflow.site))]
    whole = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment(airflow.site)}
    done = subprocess.run(command, cwd=PROJECT, env=whole, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith(f"undone: {len(ODD)} keys are back, 0 were made anew")
    assert {key: odd.get(key) for key in ODD} == ODD
