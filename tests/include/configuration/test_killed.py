"""Killed at any object, the next process goes on to the end."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping

import pytest

from include.configuration.difference import bare
from include.configuration.normalise import name
from include.configuration.objects import ObjectApi
from include.probes.kubernetes import Json
from tests.include.backups.dying import die
from tests.include.configuration.village import Village
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


def drift(here: Village) -> int:
    """Change what makes 12 writes: eight config maps and secrets, two workloads that roll, a role; return how many."""
    for kind, called in (("ConfigMap", "front-config"), ("ConfigMap", "back-config"), ("ConfigMap", "files")):
        here.change(kind, called, {"data": {"added": "1"}})
    here.change("Secret", "login", {"data": {"user": "d3Jvbmc="}})
    here.change("Secret", "pull", {"data": {"added": "MQ=="}})
    here.change("Role", "reader", {"metadata": {"labels": {"added": "1"}}})
    here.change("Service", "front", {"metadata": {"labels": {"added": "1"}}})
    here.change("Deployment", "files", {"spec": {"template": {"metadata": {"labels": {"added": "1"}}}}})
    return WRITES


WRITES = 15
"""Seven of the eight objects have a field too many, and are written twice; one has another value; and two restart marks."""


def killed(here: Village, op_id: str, k: int, *, after: bool) -> int:
    """Let a process recover that dies at the k-th write, before or after it is sent; return the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            arm(k, after=after)
            here.recover(op_id)
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def arm(k: int, *, after: bool) -> None:
    real, left = ObjectApi.send, [k]

    def send(self: ObjectApi, method: str, path: str, body: Json | None = None, **how: str) -> Json:
        writes = method == "PATCH" and "dryRun" not in how
        left[0] -= writes
        if writes and not left[0] and not after:
            die()
        answer = real(self, method, path, body, **how)
        if writes and not left[0]:
            die()
        return answer

    ObjectApi.send = send  # type: ignore[method-assign]


@pytest.mark.proof
def test_a_configuration_recovery_that_is_killed_at_any_object_goes_on_to_the_end(here: Village, proof: Proof) -> None:
    was = {name(each): each for each in here.live()}
    points = range(1, WRITES + 1)
    chosen = sorted(proof.random.sample(points, proof.n(small=2, full=10)))
    held = 0
    for k in chosen:
        here.reset()
        drift(here)
        op_id = here.approved()
        assert killed(here, op_id, k, after=proof.random.random() < 0.5) == signal.SIGKILL, k
        facts = here.recover(op_id)
        here.wait_until_ready()
        now, before = configured({name(each): each for each in here.live()}), configured(was)
        differing = sorted(subject for subject in now.keys() | before.keys() if now.get(subject) != before.get(subject))
        print(f"killed at {k}: {differing or 'all as before'}")  # noqa: T201 - what a failed proof needs to be understood
        held += facts["compare"]["differing"] == {} and not differing
    what = "kill -9 after k of n writes of a configuration recovery: the next process ends it, every field as in the bundle"
    proof.held(what, n=len(chosen), held=held, points=chosen, writes=WRITES)


def configured(things: Mapping[str, Json]) -> dict[str, Json]:
    """Without the marks of restarts, which differ from run to run."""
    return {called: bare(thing) for called, thing in things.items()}
