"""Does the application work again? Through its front door: health, then one workflow made, run, finished and deleted (X-06)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RunbookError, TransientError, VerificationError
from include.settings import RecoveryLimits

if TYPE_CHECKING:
    import httpx

BYPASS_HEADER = "X-Maintenance-Bypass"
PAUSE_S = 0.5
AWAY = (502, 503, 504)
"""Not there at the moment. Whoever is so for long is not healthy, which is asked first, and with which the recovery is taken back."""
RUNS = 3
"""Executions tried: 1.5 % fail on a healthy day, so three in a row are one day in 300,000."""

Note = Callable[[int], None]
HEALTHY_IN_A_ROW = 4
"""Times the number of replicas: each answers for itself, and which one does is a matter of chance."""


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """What was seen.

    :param maintenance: whether the gateway said that maintenance mode is on.
    :param healthy_s: until the gateway was healthy.
    :param finished_s: until a run of the test workflow had succeeded and was deleted.
    :param failed: error classes of runs before the one that succeeded.
    """

    maintenance: bool
    healthy_s: float
    finished_s: float
    failed: tuple[str, ...] = ()


def _forget(workflow_id: int) -> None:
    """Note nothing."""


def smoke(
    client: httpx.Client,
    *,
    limits: RecoveryLimits,
    op_id: str,
    noted: Note = _forget,
    earlier: Collection[int] = (),
) -> Smoke:
    """Try the application; VerificationError says which step failed, how, and what it leaves behind.

    TransientError if it was healthy and is away in the middle: try again, which begins with its health.

    :param client: its base address is the gateway, its headers pass maintenance mode.
    :param noted: called with the id of the test workflow before it is used, so that one that a kill left behind is found.
    :param earlier: ids that `noted` was called with before; what is left of them is deleted first.
    """
    began = time.monotonic()
    maintenance = await_healthy(client, limits.healthy_within_s)
    healthy_s = time.monotonic() - began
    for workflow_id in earlier:
        sweep(client, workflow_id, op_id)
    failed = _a_workflow(client, op_id, noted, time.monotonic() + limits.smoke_within_s)
    finished_s = time.monotonic() - began - healthy_s
    return Smoke(maintenance=maintenance, healthy_s=round(healthy_s, 2), finished_s=round(finished_s, 2), failed=failed)


def await_healthy(client: httpx.Client, within_s: float) -> bool:
    """Wait until every replica of the gateway says that it and all that it needs work; return whether maintenance mode is on."""
    deadline = time.monotonic() + within_s
    in_a_row = 0
    while True:
        state, said = _health(client)
        in_a_row = in_a_row + 1 if state else 0
        if state and in_a_row >= HEALTHY_IN_A_ROW * int(state.get("ready_replicas", 1)):
            return bool(state.get("maintenance"))
        if time.monotonic() > deadline:
            raise VerificationError(
                f"the gateway is not healthy {within_s:g} s after its pods were ready: {said}; nothing was tried"
            )
        time.sleep(0 if state else PAUSE_S)


def _health(client: httpx.Client) -> tuple[Mapping[str, Any] | None, str]:
    try:
        code, body = _ask(client, "GET", "/health")
    except TransientError as error:
        return None, str(error)
    return (body if code == 200 else None), f"GET /health answers {code} {_words(body)}"


def sweep(client: httpx.Client, workflow_id: int, op_id: str) -> bool:
    """Delete a test workflow of this operation that a kill left behind; False if there is none of that id and name."""
    code, body = _answered(client, "GET", f"/workflows/{workflow_id}", (200, 404))
    # After a swap the id may be somebody's: the name says whose it is.
    if code == 404 or not str(body.get("name", "")).startswith(_name(op_id)):
        return False
    _delete(client, workflow_id)
    return True


def _a_workflow(client: httpx.Client, op_id: str, noted: Note, deadline: float) -> tuple[str, ...]:
    wanted = {"name": f"{_name(op_id)}-{secrets.token_hex(4)}", "definition": {"steps": [{"kind": "noop"}]}}
    workflow_id = int(_answered(client, "POST", "/workflows", (201,), json=wanted)[1]["id"])
    noted(workflow_id)
    try:
        _read_back(client, workflow_id, wanted["name"])
        failed = _run_until_it_succeeds(client, workflow_id, deadline)
    except RunbookError as error:
        raise type(error)(f"{error}; {_cleared_away(client, workflow_id)}") from None
    _delete(client, workflow_id)
    return failed


def _read_back(client: httpx.Client, workflow_id: int, name: object) -> None:
    found = _answered(client, "GET", f"/workflows/{workflow_id}", (200,))[1].get("name")
    if found != name:
        raise VerificationError(f"workflow {workflow_id} was made as {name} and reads {found}")


def _cleared_away(client: httpx.Client, workflow_id: int) -> str:
    """Delete what a failed try leaves; return what became of that, because the failure itself is what must be told."""
    try:
        _delete(client, workflow_id)
    except RunbookError as error:
        return f"the test workflow {workflow_id} is left behind: {error}"
    return "the test workflow was deleted"


def _run_until_it_succeeds(client: httpx.Client, workflow_id: int, deadline: float) -> tuple[str, ...]:
    failed: list[str] = []
    while len(failed) < RUNS:
        run = _answered(client, "POST", f"/workflows/{workflow_id}/runs", (202,))[1]
        ended = _await_end(client, int(run["execution_id"]), deadline)
        if ended["status"] == "succeeded":
            return tuple(failed)
        failed.append(str(ended.get("error_class") or ended["status"]))
    raise VerificationError(
        f"{RUNS} of {RUNS} runs of the test workflow failed: {', '.join(failed)}; look at the workers"
    )


def _await_end(client: httpx.Client, execution_id: int, deadline: float) -> Mapping[str, Any]:
    while True:
        execution: Mapping[str, Any] = _answered(client, "GET", f"/executions/{execution_id}", (200,))[1]
        if execution["status"] not in {"queued", "running"}:
            return execution
        if time.monotonic() > deadline:
            raise VerificationError(
                f"execution {execution_id} of the test workflow is still {execution['status']} at the deadline;"
                f" {'no worker takes work' if execution['status'] == 'queued' else 'its worker does not finish'}"
            )
        time.sleep(PAUSE_S)


def _delete(client: httpx.Client, workflow_id: int) -> None:
    _answered(client, "DELETE", f"/workflows/{workflow_id}", (204, 404))
    _answered(client, "GET", f"/workflows/{workflow_id}", (404,))


def _name(op_id: str) -> str:
    return f"recovery-smoke-{op_id[:8]}"


def _answered(client: httpx.Client, method: str, path: str, wanted: tuple[int, ...], **parts: Any) -> tuple[int, Any]:
    """Return code and body of a request that must end in one of these codes."""
    code, body = _ask(client, method, path, **parts)
    if code in wanted:
        return code, body
    if code == 503 and "maintenance" in _words(body):
        raise ConfigurationError(
            f"the gateway turned {method} {path} away: maintenance mode is on, and it does not accept the password of the"
            " Connection in connections.gateway as the token that passes it; nothing is known of the application"
        )
    kind = TransientError if code in AWAY else VerificationError
    raise kind(f"the gateway answered {method} {path} with {code} {_words(body)}, not {wanted[0]}")


def _ask(client: httpx.Client, method: str, path: str, **parts: Any) -> tuple[int, Any]:
    import httpx

    try:
        response = client.request(method, path, **parts)
    except httpx.HTTPError as error:  # what a lost answer leaves is a workflow that does nothing and is named as ours
        raise TransientError(f"the gateway did not answer {method} {path}: {type(error).__name__}") from None
    try:
        return response.status_code, response.json() if response.content else {}
    except ValueError:
        return response.status_code, {"error": response.text[:120]}


def _words(body: Any) -> str:
    error = body.get("error") if isinstance(body, Mapping) else None
    return str(error or body)[:200]
