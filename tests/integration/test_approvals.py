"""The gate in a running Airflow: ten ways round it, each of them refused and not green, and the one way through it, once.

What counts is what production is afterwards: the same database, every replica where it was, and no plan used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.errors import RefusedError
from include.ops import gate, leases
from include.ops.database import OpsDatabase
from include.ops.leases import Mode, Wanted
from sandbox.airflow_api import Airflow
from sandbox.components.airflow import AIRFLOW, environment
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import admin
from sandbox.components.postgres import connect, dsn
from sandbox.connections import all_of
from sandbox.site import PROJECT, Site
from sre import runs
from tests.include.backups.world import World
from tests.integration.test_ledger_evidence import missing
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

DAG_ID = "database_recovery"
DATABASE = "orchestrator"
NAMESPACE = "ai-orchestrator"
ASK = "approve_plan"
WHY = "the newest rows are damaged"
BECAUSE = "seen in the dashboards, I agree"
WITHIN_S = 120

WAYS = (
    "no answer in time",
    "rejection",
    "self-approval",
    "the same person twice",
    "marked success",
    "xcom edited",
    "cleared and run again",
    "backfill",
    "plan changed",
    "from another task",
)


@dataclass(frozen=True)
class Production:
    """What must stay as it is: which database has the name, how many of each workload, and how often a plan was used."""

    database: int
    replicas: Mapping[str, int]
    uses: int

    @classmethod
    def of(cls, site: Site) -> Production:
        with connect(site, database="postgres") as server:
            ((oid,),) = server.execute("select oid from pg_database where datname = %s", [DATABASE]).fetchall()
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        found = Api(admin(site)).call("GET", path)["items"]
        replicas = {each["metadata"]["name"]: each["spec"].get("replicas", 1) for each in found}
        ((uses,),) = ask(site, "select count(*) from ops.plan_use")
        return cls(oid, replicas, uses)


def ask(site: Site, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        return ops.execute(query, list(arguments)).fetchall()


@dataclass(frozen=True)
class Refusal:
    """How one way round ended.

    :param state: of the run.
    :param said: by the steps that refused.
    """

    state: str
    said: str
    tasks: Mapping[str, str]
    before: Production
    after: Production

    @property
    def held(self) -> bool:
        """Refused, not green, nothing touched."""
        return self.state == "failed" and bool(self.said) and self.tasks.get("recover") != "success" and self.untouched

    @property
    def untouched(self) -> bool:
        return self.before == self.after


Ways = dict[str, Refusal]


@dataclass
class Place:
    """The site, and a session of each person."""

    site: Site
    people: dict[str, Airflow] = field(default_factory=dict)
    before: Production = field(init=False)

    def as_(self, name: str) -> Airflow:
        return self.people.setdefault(name, Airflow(self.site, name))

    @property
    def airflow(self) -> Airflow:
        return self.as_("admin")

    def ops(self, role: str) -> OpsDatabase:
        return OpsDatabase({"conninfo": dsn(self.site, role, "ops", "postgres_ops")})

    def metadata(self, query: str, *arguments: Any) -> int:
        """Change Airflow's own database, as only the superuser of the test can."""
        with connect(self.site, database="airflow", server="postgres_ops") as metadata:
            return metadata.execute(query, list(arguments)).rowcount

    def pause(self, paused: bool) -> None:
        self.airflow.send("PATCH", f"dags/{DAG_ID}", {"is_paused": paused})


class Run:
    """One run of the runbook, and what people do to it."""

    def __init__(self, place: Place, run_id: str) -> None:
        self.place, self.site, self.run_id = place, place.site, run_id
        self.path = f"dags/{DAG_ID}/dagRuns/{run_id}"
        self.ways: Ways = {}
        self.forget()

    @classmethod
    def begun(cls, place: Place, **conf: Any) -> Run:
        form = {"dry_run": "no", "reason": WHY} | conf
        return cls(place, place.as_("operator_one").trigger(DAG_ID, **form))

    def forget(self) -> None:
        """What follows is another way: only what is said from now on belongs to it."""
        self.before = Production.of(self.site)
        ((self.since,),) = ask(self.site, "select coalesce(max(id), 0) from ops.evidence")

    def waits(self) -> Run:
        """Return when the question stands and can be answered."""
        self.place.airflow.wait_for_question(DAG_ID, self.run_id, ASK, WITHIN_S)
        return self

    def state(self, task_id: str) -> str | None:
        found: str | None = self.place.airflow.tasks(DAG_ID, self.run_id).get(task_id, {}).get("state")
        return found

    def answer(self, person: str, option: str = "Approve", **form: str) -> int:
        """Answer over the API, which asks for less than the form; return the status."""
        body = {"chosen_options": [option], "params_input": form}
        return status(self.place.as_(person), "PATCH", f"{self.path}/taskInstances/{ASK}/-1/hitlDetails", body)

    def clear(self, *task_ids: str) -> None:
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": task_ids, "only_failed": False}
        self.place.as_("operator_one").send(
            "POST", f"dags/{DAG_ID}/clearTaskInstances", body | {"reset_dag_runs": True, "include_downstream": True}
        )

    def ended(self) -> Refusal:
        state = self.place.airflow.wait_for_run(DAG_ID, self.run_id, WITHIN_S)["state"]
        tasks = {name: each["state"] for name, each in self.place.airflow.tasks(DAG_ID, self.run_id).items()}
        return Refusal(state, self.said(), tasks, self.before, Production.of(self.site))

    def said(self) -> str:
        """What the steps of this run said that is bad, since `forget`."""
        rows = ask(
            self.site,
            "select summary from ops.evidence where run_id = %s and id > %s and verdict in ('UNKNOWN', 'CRITICAL')"
            " and \"check\" in ('choice_shown', 'planned', 'approved', 'recovered') order by id",
            self.run_id,
            self.since,
        )
        return "; ".join(summary for (summary,) in rows)

    def plan(self) -> gate.Stored:
        return gate.newest(self.place.ops("ops_runner"), runs.op_id(DAG_ID, self.run_id))

    def end(self) -> None:
        """Make way for the next run, whatever became of this one."""
        if self.place.airflow.get(self.path)["state"] not in {"success", "failed"}:
            self.place.airflow.send("PATCH", self.path, {"state": "failed"})


def status(airflow: Airflow, method: str, path: str, body: Any) -> int:
    try:
        airflow.send(method, path, body)
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 200


def slack(site: Site) -> list[Mapping[str, Any]]:
    answer = httpx.get(f"{site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
    return [each["body"] for each in answer["recorded"] if "chat." in each["path"]]


def pages(site: Site) -> list[str]:
    answer = httpx.get(f"{site.url('receivers')}/_recorded/pagerduty", timeout=10).raise_for_status().json()
    bodies = [each["body"] for each in answer["recorded"] if "enqueue" in each["path"]]
    return [json.dumps(body) for body in bodies if body["event_action"] == "trigger"]


INTRUDER = f"""
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG
from include.settings import load
from sre.operators.recovery import RecoverOperator

with DAG("intruder", schedule=None, params={{"dry_run": "no"}}):
    TriggerDagRunOperator(task_id="trigger", trigger_dag_id="{DAG_ID}", conf={{"dry_run": "no", "reason": "{WHY}"}})
    RecoverOperator(task_id="recover", limits=load().backup, target="{DATABASE}", reason="{WHY}", stop_first="False")
"""


@pytest.fixture(scope="module")
def place(airflow_site: Site) -> Place:
    """A platform with one good backup, and the runbook ready."""
    world = World(airflow_site, DATABASE)
    taken = world.take(leftovers_after_s=43_200)
    world.prover().prove(taken.manifest.facts.key, sha256=taken.sha256)
    place = Place(airflow_site)
    place.airflow.wait_for_dags({DAG_ID})
    place.airflow.unpause(DAG_ID)
    place.before = Production.of(airflow_site)
    return place


@pytest.fixture(scope="module")
def intruder(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A DAG of somebody else, begun: it triggers the runbook, and it holds the acting task itself."""
    folder = tmp_path_factory.mktemp("dags")
    Path(folder, "intruder.py").write_text(INTRUDER)
    whole = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment(place.site)}
    whole |= {"AIRFLOW__CORE__DAGS_FOLDER": str(folder), "PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}"}
    command = [str(AIRFLOW), "dags", "test", "intruder", "--dagfile-path", str(folder / "intruder.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=whole, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True) as running:
        yield running
        running.kill()


@contextmanager
def ending(run: Run) -> Iterator[Run]:
    try:
        yield run
    finally:
        run.end()


# --- one run that a low role works on ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tampered(place: Place, intruder: subprocess.Popen[str]) -> Iterator[Run]:
    """The requester answers, posts what an approval leaves, marks the task, and makes plan and question anew."""
    assert intruder.poll() is None  # it runs beside
    with ending(Run.begun(place).waits()) as run:
        statuses = {name: run.answer(name, approvers_reason=BECAUSE) for name in ("operator_one", "admin", "viewer")}
        assert statuses == {"operator_one": 403, "admin": 403, "viewer": 403}
        with pytest.raises(RefusedError, match="operator_one asked for it and cannot approve it"):
            gate.approve(
                place.ops("ops_approver"),
                run.plan().id,
                person="operator_one",
                reason=BECAUSE,
                answered_at=datetime.now(UTC),
            )
        forge(run)
        mark(run, ASK, "success")
        marked = run.ended()
        run.forget()
        run.clear("plan_recovery")
        run.ways = dict.fromkeys(("self-approval", "marked success", "xcom edited"), marked)
        run.ways["cleared and run again"] = run.ended()
        yield run


def forge(run: Run) -> None:
    """Leave in XCom, as the requester, what an approval by somebody else would leave."""
    forged = {
        "chosen_options": ["Approve"],
        "params_input": {"approvers_reason": BECAUSE},
        "responded_by_user": {"id": "recovery_approver", "name": "recovery_approver"},
        "responded_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    requester = run.place.as_("operator_one")
    entry = {"key": "return_value", "value": json.dumps(forged), "map_index": -1}
    posted = status(requester, "POST", f"{run.path}/taskInstances/{ASK}/xcomEntries", entry)
    edit = {"value": json.dumps({"source": "plan", "checked": 1, "findings": []}), "map_index": -1}
    edited = status(requester, "PATCH", f"{run.path}/taskInstances/plan_recovery/xcomEntries/return_value", edit)
    assert (posted, edited) == (200, 200)  # Airflow lets him


def mark(run: Run, task_id: str, state: str) -> None:
    body = {"new_state": state}
    run.place.as_("operator_one").send("PATCH", f"{run.path}/taskInstances/{task_id}?update_mask=new_state", body)


def test_af_04_who_asks_cannot_answer_nor_can_anybody_who_is_no_approver(tampered: Run) -> None:
    assert tampered.ways["self-approval"].held  # what Airflow and the ops database say to it is looked at on the way


def test_a_task_that_is_marked_success_with_a_forged_answer_lets_nothing_through(tampered: Run) -> None:
    marked = tampered.ways["marked success"]
    assert (marked.tasks[ASK], marked.tasks["recover"]) == ("success", "failed")
    assert "must not be carried out: 1 of 2 people stand behind it, and nobody approved it" in marked.said
    assert marked.held


def test_a_plan_that_is_made_again_is_not_asked_for_on_the_old_page(tampered: Run) -> None:
    again = tampered.ways["cleared and run again"]
    assert "this page shows the question of an earlier try" in again.said
    assert again.held


def test_a_run_that_is_made_green_by_hand_says_so(tampered: Run) -> None:
    run = tampered
    run.place.as_("operator_one").send("PATCH", run.path, {"state": "success"})
    query = "select summary from ops.evidence where run_id = %s and \"check\" = 'state_by_hand'"
    deadline = time.monotonic() + WITHIN_S
    while not (told(run) and ask(run.site, query, run.run_id)) and time.monotonic() < deadline:
        time.sleep(0.3)
    ((said,),) = ask(run.site, query, run.run_id)
    assert said.startswith("state set by hand: success")
    assert len(told(run)) == 1


def told(run: Run) -> list[str]:
    return [body["text"] for body in slack(run.site) if "state set by hand" in str(body) and run.run_id in str(body)]


# --- one run whose requester nobody knows --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(place: Place) -> Iterator[Run]:
    """One question after the other: answered twice by one person, rejected, answered without a reason, not answered."""
    with ending(unknown(place).waits()) as run:
        for _ in range(2):
            assert run.answer("recovery_approver", approvers_reason=BECAUSE) == 200
            run.ways["the same person twice"] = run.ended()
            again(run)
        assert run.answer("recovery_approver", "Reject", approvers_reason="not tonight, please") == 200
        run.ways["rejection"] = run.ended()
        again(run)
        assert run.answer("recovery_approver") == 200  # the API lets it through
        run.ways["no reason"] = run.ended()
        again(run)
        late = "update task_instance set trigger_timeout = now() - interval '1 s' where run_id = %s and task_id = %s"
        assert place.metadata(late, run.run_id, ASK) == 1
        run.ways["no answer in time"] = run.ended()
        yield run


def unknown(place: Place) -> Run:
    """A run that no person of Airflow's triggered."""
    place.pause(True)
    run = Run.begun(place)
    assert place.metadata("update dag_run set triggering_user_name = null where run_id = %s", run.run_id) == 1
    place.pause(False)
    return run


def again(run: Run) -> None:
    run.forget()
    run.clear(ASK)
    run.waits()


def test_one_person_is_one_person_however_often_he_answers(asked: Run) -> None:
    twice = asked.ways["the same person twice"]
    assert (twice.tasks[ASK], twice.tasks["recover"]) == ("success", "failed")
    assert "1 of 2 people stand behind it" in twice.said
    assert twice.held


def test_af_02_a_rejection_ends_red_and_says_who_and_why(asked: Run) -> None:
    assert "recovery_approver rejected plan" in asked.ways["rejection"].said
    assert "not tonight, please; nothing was changed" in asked.ways["rejection"].said
    assert asked.ways["rejection"].held


def test_an_approval_without_a_reason_is_none(asked: Run) -> None:
    assert "a reason of at least ten characters is needed" in asked.ways["no reason"].said
    assert asked.ways["no reason"].held


def test_af_03_without_an_answer_in_time_nothing_happens(asked: Run) -> None:
    assert "nobody approved the plan within 30 minutes; nothing was changed" in asked.ways["no answer in time"].said
    assert asked.ways["no answer in time"].held


# --- runs that nobody triggered by hand ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backfilled(place: Place) -> Iterator[Ways]:
    """Airflow refuses a backfill; and if it did not, the steps do."""
    whole = {"dag_id": DAG_ID, "from_date": "2026-11-01T00:00:00Z", "to_date": "2026-11-02T00:00:00Z"}
    assert status(place.airflow, "POST", "backfills", {**whole, "dag_run_conf": {"dry_run": "no"}}) in {400, 409, 422}
    place.pause(True)
    with ending(Run.begun(place)) as run:
        assert place.metadata("update dag_run set run_type = 'backfill' where run_id = %s", run.run_id) == 1
        place.pause(False)
        yield {"backfill": run.ended()}


def test_a_backfill_recovers_nothing(backfilled: Ways) -> None:
    assert "means now and cannot be backfilled" in backfilled["backfill"].said
    assert backfilled["backfill"].held


@pytest.fixture(scope="module")
def intruded(place: Place, intruder: subprocess.Popen[str]) -> Ways:
    """What became of it; it ran beside the ways before."""
    said, _ = intruder.communicate(timeout=WITHIN_S)
    triggered = place.airflow.get(f"dags/{DAG_ID}/dagRuns", run_type="operator_triggered")["total_entries"]
    state = "failed" if not triggered and "state=success" not in said else "success"
    return {"from another task": Refusal(state, said, {}, place.before, Production.of(place.site))}


def test_no_other_task_triggers_the_runbook_nor_acts_in_its_place(intruded: Ways) -> None:
    said = intruded["from another task"].said
    assert "does not allow operator-triggered runs" in said
    assert "has no plan" in said
    assert intruded["from another task"].held


# --- alone at night, and a plan that does not hold any more ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(place: Place) -> Iterator[Run]:
    """Somebody breaks the glass; before the recovery has its turn an autoscaler is gone."""
    with ending(Run.begun(place, break_glass=target(place))) as run, held_up(place) as let_go:
        deadline = time.monotonic() + WITHIN_S
        while run.state("recover") != "running" and time.monotonic() < deadline:
            time.sleep(0.3)
        with without_autoscaler(place.site):
            let_go()
            run.ways["plan changed"] = run.ended()
        yield run


def target(place: Place) -> str:
    with connect(place.site, database="postgres") as server:
        ((identifier,),) = server.execute("select system_identifier from pg_control_system()").fetchall()
    return f"{DATABASE} on {identifier}"


@contextmanager
def held_up(place: Place) -> Iterator[Any]:
    """Hold what a recovery waits for; yields what lets go of it."""
    wanted = Wanted(
        resource=f"database/{DATABASE}",
        mode=Mode.BACKUP,
        op_id="00000000-0000-4000-8000-000000000001",
        holder="a backup of the test",
    )
    lease = leases.acquire(place.ops("ops_runner"), wanted)
    try:
        yield lease.release
    finally:
        lease.release()


@contextmanager
def without_autoscaler(site: Site) -> Iterator[None]:
    api, path = Api(admin(site)), f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
    (autoscaler,) = [each for each in api.call("GET", path)["items"] if each["metadata"]["name"] == "api-gateway"]
    kept = {name: autoscaler["metadata"].get(name, {}) for name in ("name", "namespace", "labels", "annotations")}
    api.call("DELETE", f"{path}/api-gateway")
    try:
        yield
    finally:
        whole = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": kept}
        api.call("POST", path, whole | {"spec": autoscaler["spec"]})


def test_a_plan_that_does_not_hold_any_more_is_refused_behind_a_broken_glass_too(alone: Run) -> None:
    changed = alone.ways["plan changed"]
    assert "what would be done now is not what was planned" in changed.said
    assert changed.held


def test_who_breaks_the_glass_wakes_security_first_and_is_looked_into_within_a_day(alone: Run) -> None:
    run = alone
    told = [body["text"] for body in slack(run.site) if body.get("channel") == "#security" and run.run_id in str(body)]
    assert len(told) == 1
    assert "operator_one broke the glass for plan" in told[0]
    assert len([page for page in pages(run.site) if "broke the glass" in page and run.run_id in page]) == 1
    query = "select detail, observed_at from ops.evidence where run_id = %s and \"check\" = 'approved'"
    ((detail, at),) = ask(run.site, query, run.run_id)
    assert (detail["person"], detail["break_glass"]) == ("operator_one", True)
    assert 0 < (datetime.fromisoformat(detail["review_by"]) - at).total_seconds() <= 86_400


# --- the proof -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ways(tampered: Run, asked: Run, backfilled: Ways, intruded: Ways, alone: Run) -> Ways:
    return tampered.ways | asked.ways | alone.ways | backfilled | intruded


@pytest.mark.proof
def test_ten_of_ten_ways_round_the_gate_are_refused(ways: Ways, proof: Proof) -> None:
    held = [name for name in WAYS if ways[name].held]
    said = {name: ways[name].said[-200:] for name in WAYS if name not in held}
    proof.held(
        "each way round the approval of a recovery ends refused and not green, production is untouched, no plan is used",
        n=proof.n(small=len(WAYS), full=len(WAYS)),
        held=len(held),
        ways=list(WAYS),
        not_held=said,
    )


# --- the way through -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def through(place: Place) -> Iterator[tuple[Refusal, Run]]:
    """Asked for by one person, approved by another, carried out."""
    with ending(Run.begun(place).waits()) as run:
        assert run.answer("recovery_approver", approvers_reason=BECAUSE) == 200
        yield run.ended(), run


def test_what_one_asked_for_and_another_approved_is_carried_out(through: tuple[Refusal, Run]) -> None:
    done, run = through
    assert (done.state, set(done.tasks.values())) == ("success", {"success"}), done.said
    assert done.after.database != done.before.database
    assert done.after.replicas == done.before.replicas
    assert done.after.uses == done.before.uses + 1
    ((person, reason),) = ask(run.site, "select person, reason from ops.approval where plan_id = %s", run.plan().id)
    assert (person, reason) == ("recovery_approver", BECAUSE)


def test_it_leaves_the_evidence_that_the_ledger_claims(through: tuple[Refusal, Run]) -> None:
    _, run = through
    assert missing(DAG_ID, run.site, run.run_id) == []


def test_the_acting_task_cleared_afterwards_finds_all_done_and_does_nothing(through: tuple[Refusal, Run]) -> None:
    _, run = through
    run.forget()
    run.clear("recover")
    once_more = run.ended()
    assert once_more.state == "success"
    assert once_more.untouched


def test_and_a_person_without_airflow_takes_it_back(through: tuple[Refusal, Run], tmp_path: Path) -> None:
    done, run = through
    file = tmp_path / "connections.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(all_of(run.site)))
    for verb in ("show", "rollback"):
        command = [
            sys.executable,
            "-m",
            "include.recovery",
            verb,
            runs.op_id(DAG_ID, run.run_id),
            "--connections",
            str(file),
        ]
        whole = {**os.environ, **environment(run.site)}
        said = subprocess.run(command, env=whole, capture_output=True, text=True, check=False, cwd=PROJECT)
        assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("undone: everything is as it was before")
    back = Production.of(run.site)
    assert (back.database, back.replicas) == (done.before.database, done.before.replicas)
