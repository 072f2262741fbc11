"""A removal with everything around it: who asks, who approves, the bucket, and a process that is killed in the middle."""

from __future__ import annotations

import importlib
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from include.backups.store import Store
from include.cache import removal
from include.cache.copies import Keeper, Opener
from include.cache.removal import Removal
from include.cache.undo import Undo, undo
from include.ops import gate
from include.ops.database import OpsDatabase
from include.plans.cache_removal import Request, Which
from include.settings import CacheLimits, Settings
from sandbox import age_keys
from sandbox.components import s3
from sandbox.site import Site
from tests.include.cache.servers import REMOVER, Server

WHY = "nobody has read these for a month"
BECAUSE = "seen in the report, I agree"
QUICK = CacheLimits(busy_percent=50, removal_batch_keys=20)


@dataclass(frozen=True)
class Scene:
    """All of it; the server is empty at the beginning."""

    site: Site
    valkey: Server
    runner: OpsDatabase
    approver: OpsDatabase
    chosen: Settings

    def store(self, user: str) -> Store:
        return Store(s3.client(self.site, user), s3.BUCKET, who=user)

    def removal(self, prefix: str = "cache:", which: str = Which.WITHOUT_LIFETIME, **limits: Any) -> Removal:
        """A new one."""
        chosen = self.chosen.model_copy(update={"cache": self.chosen.cache.model_copy(update=limits)})
        request = Request(op_id=str(uuid4()), prefix=prefix, which=which, reason=WHY)
        return Removal(request=request, redis=lambda: self.valkey.client(REMOVER), chosen=chosen)

    def approved(self, its: Removal) -> Removal:
        gate.store(self.runner, its.plan(), requester="alice", people=2)
        stored = gate.newest(self.runner, its.request.op_id)
        gate.approve(self.approver, stored.id, person="bob", reason=BECAUSE, answered_at=datetime.now(UTC))
        return its

    def keeper(self) -> Keeper:
        return Keeper(self.store("backup_writer"), age_keys.recipients(self.site))

    def act(self, its: Removal) -> Mapping[str, Any]:
        return removal.act(its, self.runner, self.keeper(), holder="test")

    def undo(self, its: Removal) -> Mapping[str, Any]:
        opener = Opener(self.store("backup_verifier"), age_keys.private(self.site, age_keys.OPERATIONAL), "a file")
        back = Undo(redis=its.redis, opener=opener, chosen=its.chosen)
        return undo(back, self.runner, its.request.op_id, holder="test", why="taken back by a test")

    def contents(self) -> Mapping[bytes, tuple[bytes, bool]]:
        """Every key with its value and whether it lasts for ever."""
        with self.valkey.client() as admin:
            names: list[bytes] = list(admin.scan_iter(count=1000))
            with admin.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.dump(name)
                    pipeline.pttl(name)
                answers = iter(pipeline.execute())
            return {name: (dump, ttl < 0) for name, dump, ttl in zip(names, answers, answers, strict=True)}


def scene(site: Site, valkey: Server, runner: OpsDatabase, approver: OpsDatabase) -> Scene:
    chosen = Settings(cache=QUICK)
    backup = chosen.backup.model_copy(update={"recipients": age_keys.recipients(site)})
    return Scene(site, valkey, runner, approver, chosen.model_copy(update={"backup": backup}))


def killed(deed: Callable[[], object], target: str, after: int, *, before: bool) -> None:
    """Run it in a process of its own, which is killed at one call of a function: before it, or when it has returned."""
    if (pid := os.fork()) == 0:
        try:
            _die_at(target, after, before=before, deed=deed)
        except BaseException:  # noqa: BLE001 - this process has nobody else who would say it
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"{target} was not called {after} times"


def _die_at(target: str, after: int, *, before: bool, deed: Callable[[], object]) -> None:
    calls = 0
    module, owner_name, name = target.rsplit(".", 2)
    owner = getattr(importlib.import_module(module), owner_name)
    whole = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = whole(*arguments, **named)
        if calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    with patch.object(owner, name, dying):
        deed()
